#pragma once

#include "cuda_emulator/vector_types.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

using __nv_fp8_storage_t = unsigned char;
using __nv_fp8x2_storage_t = unsigned short;

enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

/// Rounds to nearest even; what is larger than 448 becomes 448. Only e4m3 that saturates is
/// emulated: other arguments end the program.
inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float value, __nv_saturation_t saturate,
                                                __nv_fp8_interpretation_t interpretation) {
  if (saturate != __NV_SATFINITE || interpretation != __NV_E4M3) {
    std::fputs("emulated __nv_cvt_float_to_fp8: only __NV_E4M3 with __NV_SATFINITE\n", stderr);
    std::abort();
  }
  if (std::isnan(value)) return 0x7F;
  const int sign = std::signbit(value) ? 0x80 : 0;
  const float magnitude = std::fabs(value);
  if (magnitude >= 448.0f) return static_cast<__nv_fp8_storage_t>(sign | 0x7E);
  // The step between neighbours is 2^(exponent - 3); below 2^-6 it is that of 2^-6.
  const int exponent = magnitude < 0x1p-6f ? -6 : std::ilogb(magnitude);
  const int steps = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 3 - exponent)));
  return static_cast<__nv_fp8_storage_t>(sign | std::min(0x7E, (exponent + 6) * 8 + steps));
}

inline __nv_fp8x2_storage_t __nv_cvt_float2_to_fp8x2(float2 value, __nv_saturation_t saturate,
                                                     __nv_fp8_interpretation_t interpretation) {
  const int low = __nv_cvt_float_to_fp8(value.x, saturate, interpretation);
  const int high = __nv_cvt_float_to_fp8(value.y, saturate, interpretation);
  return static_cast<__nv_fp8x2_storage_t>(high << 8 | low);
}

/// CUDA's e4m3: a sign, four bits of exponent, three of mantissa; no infinities.
struct __nv_fp8_e4m3 {
  __nv_fp8_storage_t __x;

  __nv_fp8_e4m3() = default;
  explicit __nv_fp8_e4m3(float value)
      : __x(__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3)) {}
  explicit operator float() const {
    const int magnitude = __x & 0x7F;
    const float value = magnitude == 0x7F ? NAN
                        : magnitude < 8
                            ? std::ldexp(static_cast<float>(magnitude), -9)
                            : std::ldexp(static_cast<float>(8 + magnitude % 8), magnitude / 8 - 10);
    return (__x & 0x80) != 0 ? -value : value;
  }
};
static_assert(sizeof(__nv_fp8_e4m3) == 1);
