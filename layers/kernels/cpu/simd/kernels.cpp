#include "layers/kernels/cpu/simd/kernels.h"

#include "layers/kernels/cpu/simd/fp8.h"

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

template <class T>
const Kernels<T>& kernels(CpuIsa isa) {
  // Indexed by CpuIsa; constant after the first call.
  static const Kernels<T> kTables[kCpuIsas] = {
      make_kernels<CpuIsa::kBaseline, T>(), make_kernels<CpuIsa::kAvx2, T>(),
      make_kernels<CpuIsa::kAvx512, T>(), make_kernels<CpuIsa::kAvx512Bf16, T>()};
  return kTables[static_cast<int>(isa)];
}

template const Kernels<float>& kernels<float>(CpuIsa);
template const Kernels<BFloat16>& kernels<BFloat16>(CpuIsa);

const Fp8Kernels& fp8_kernels(CpuIsa isa) {
  static const Fp8Kernels kTables[kCpuIsas] = {
      make_fp8_kernels<CpuIsa::kBaseline>(), make_fp8_kernels<CpuIsa::kAvx2>(),
      make_fp8_kernels<CpuIsa::kAvx512>(), make_fp8_kernels<CpuIsa::kAvx512Bf16>()};
  return kTables[static_cast<int>(isa)];
}

}  // namespace retinue::ops::simd
