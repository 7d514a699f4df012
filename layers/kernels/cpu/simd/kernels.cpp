#include "layers/kernels/cpu/simd/kernels.h"

#include "layers/kernels/cpu/simd/fp8.h"

#include <array>
#include <cstddef>

namespace retinue::ops::simd {

template <>
Kernels<float> make_kernels<CpuIsa::kBaseline, float>();
template <>
Kernels<float> make_kernels<CpuIsa::kAvx2, float>();
template <>
Kernels<float> make_kernels<CpuIsa::kAvx512, float>();
template <>
Kernels<float> make_kernels<CpuIsa::kAvx512Bf16, float>();
template <>
Kernels<BFloat16> make_kernels<CpuIsa::kBaseline, BFloat16>();
template <>
Kernels<BFloat16> make_kernels<CpuIsa::kAvx2, BFloat16>();
template <>
Kernels<BFloat16> make_kernels<CpuIsa::kAvx512, BFloat16>();
template <>
Kernels<BFloat16> make_kernels<CpuIsa::kAvx512Bf16, BFloat16>();
template <>
Fp8Kernels make_fp8_kernels<CpuIsa::kBaseline>();
template <>
Fp8Kernels make_fp8_kernels<CpuIsa::kAvx2>();
template <>
Fp8Kernels make_fp8_kernels<CpuIsa::kAvx512>();
template <>
Fp8Kernels make_fp8_kernels<CpuIsa::kAvx512Bf16>();

namespace {

// What makes a table is compiled for its instruction set, so that it runs only where that exists.
template <CpuIsa isa, class T>
const Kernels<T>& table() {
  static const Kernels<T> kTable = make_kernels<isa, T>();
  return kTable;
}
template <CpuIsa isa>
const Fp8Kernels& fp8_table() {
  static const Fp8Kernels kTable = make_fp8_kernels<isa>();
  return kTable;
}

}  // namespace

template <class T>
const Kernels<T>& kernels(CpuIsa isa) {
  static constexpr std::array<const Kernels<T>& (*)(), kCpuIsas> kTables = {
      table<CpuIsa::kBaseline, T>, table<CpuIsa::kAvx2, T>, table<CpuIsa::kAvx512, T>,
      table<CpuIsa::kAvx512Bf16, T>};
  return kTables[static_cast<std::size_t>(isa)]();
}

template const Kernels<float>& kernels<float>(CpuIsa);
template const Kernels<BFloat16>& kernels<BFloat16>(CpuIsa);

const Fp8Kernels& fp8_kernels(CpuIsa isa) {
  static constexpr std::array<const Fp8Kernels& (*)(), kCpuIsas> kTables = {
      fp8_table<CpuIsa::kBaseline>, fp8_table<CpuIsa::kAvx2>, fp8_table<CpuIsa::kAvx512>,
      fp8_table<CpuIsa::kAvx512Bf16>};
  return kTables[static_cast<std::size_t>(isa)]();
}

}  // namespace retinue::ops::simd
