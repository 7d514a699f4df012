// Compiled once per instruction set, with RETINUE_ISA naming it: see CMakeLists.txt in the folder
// above.
#include "layers/kernels/cpu/simd/attention.inl"
#include "layers/kernels/cpu/simd/e4m3.inl"
#include "layers/kernels/cpu/simd/fp8_matmul.inl"
#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/kernels/cpu/simd/matmul.inl"
#include "layers/kernels/cpu/simd/rows.inl"

namespace retinue::ops::simd {
namespace {

template <class T>
Kernels<T> table() {
  return {pack_rows<T>,
          matmul_block<T>,
          attention_block<T, T>,
          attention_block<T, Float8E4M3>,
          write_token<T>,
          write_token_fp8<T>,
          rotate<T>,
          silu_mul<T>,
          gelu_tanh<T>,
          gelu_erf<T>,
          add<T, T>,
          cast_from_f32<T>,
          rms_norm<T>,
          layer_norm<T>,
          add<T, float>,
          add_rms_norm<T, T>,
          add_rms_norm<T, float>,
          add_layer_norm<T>,
          largest<T>};
}

}  // namespace

template <>
Kernels<float> make_kernels<CpuIsa::RETINUE_ISA, float>() {
  return table<float>();
}
template <>
Kernels<BFloat16> make_kernels<CpuIsa::RETINUE_ISA, BFloat16>() {
  return table<BFloat16>();
}
template <>
Fp8Kernels make_fp8_kernels<CpuIsa::RETINUE_ISA>() {
  return {quantize_rows, fp8_matmul_block};
}

}  // namespace retinue::ops::simd
