#pragma once

// Tested through tests/layers/ops/gelu_test.cpp.

// Sixteen floats as one value, for the sources in this folder only. Each of those sources is
// compiled once per instruction set; everything here has internal linkage, so that no object built
// for a wide set can lend a function to one built for a narrow set.

#include "parallel/device/dtype.h"

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace retinue::ops::simd {
namespace {  // NOLINT: internal linkage is the point

inline constexpr int kLanes = 16;

using Vf = float __attribute__((vector_size(64)));
using Vi = std::int32_t __attribute__((vector_size(64)));
using Vu = std::uint32_t __attribute__((vector_size(64)));
using Vh = std::uint16_t __attribute__((vector_size(32)));

#define RETINUE_INLINE inline __attribute__((always_inline))

RETINUE_INLINE Vf splat(float x) { return Vf{} + x; }
RETINUE_INLINE Vu as_bits(Vf x) { return reinterpret_cast<Vu>(x); }
RETINUE_INLINE Vf as_float(Vu x) { return reinterpret_cast<Vf>(x); }
#if defined(__AVX512F__)
// The unmasked forms trip g++ 12's warning of uninitialised values; with all lanes on, the code is
// the same.
inline constexpr __mmask16 kAll = 0xFFFF;
#endif

/// mask lanes are all ones or all zeros.
RETINUE_INLINE Vf select(Vi mask, Vf yes, Vf no) { return mask ? yes : no; }
/// Returns the second where the two do not compare: max(limit, x) lets a NaN in x through.
RETINUE_INLINE Vf max(Vf a, Vf b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vf>(
      _mm512_maskz_max_ps(kAll, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#else
  return a > b ? a : b;
#endif
}
RETINUE_INLINE Vf min(Vf a, Vf b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vf>(
      _mm512_maskz_min_ps(kAll, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
#else
  return a < b ? a : b;
#endif
}

/// a · b + c, rounded once where the machine can.
RETINUE_INLINE Vf fma(Vf a, Vf b, Vf c) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vf>(_mm512_fmadd_ps(
      reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
  __m256 x[2], y[2], z[2];
  std::memcpy(x, &a, 64), std::memcpy(y, &b, 64), std::memcpy(z, &c, 64);
  z[0] = _mm256_fmadd_ps(x[0], y[0], z[0]), z[1] = _mm256_fmadd_ps(x[1], y[1], z[1]);
  Vf result;
  std::memcpy(&result, z, 64);
  return result;
#else
  return a * b + c;
#endif
}

RETINUE_INLINE Vf load(const float* p) {
  Vf x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
RETINUE_INLINE void store(float* p, Vf x) { std::memcpy(p, &x, sizeof x); }

RETINUE_INLINE Vf load(const BFloat16* p) {
#if defined(__AVX512F__)
  // One instruction; g++ 12 splits the conversion below in halves.
  __m256i half;
  std::memcpy(&half, p, sizeof half);
  return as_float(reinterpret_cast<Vu>(_mm512_maskz_cvtepu16_epi32(kAll, half)) << 16);
#else
  Vh half;
  std::memcpy(&half, p, sizeof half);
  return as_float(__builtin_convertvector(half, Vu) << 16);
#endif
}
/// Rounds to nearest even; NaN stays NaN.
RETINUE_INLINE void store(BFloat16* p, Vf x) {
  const Vu bits = as_bits(x);
  const Vu rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  const Vu nan = (bits >> 16) | 0x40U;
  const Vh half = __builtin_convertvector(x != x ? nan : rounded, Vh);
  std::memcpy(p, &half, sizeof half);
}
/// The same, but subnormal values may become zero.
RETINUE_INLINE void store_normal(float* p, Vf x) { store(p, x); }
RETINUE_INLINE void store_normal(BFloat16* p, Vf x) {
#if defined(__AVX512BF16__)
  const __m256bh half = _mm512_cvtneps_pbh(reinterpret_cast<__m512>(x));
  std::memcpy(p, &half, sizeof half);
#else
  store(p, x);
#endif
}
/// For results of round_to on a computed value: their NaN are quiet, so NaN needs no test.
RETINUE_INLINE void store_rounded(float* p, Vf x) { store(p, x); }
RETINUE_INLINE void store_rounded(BFloat16* p, Vf x) {
  const Vh half = __builtin_convertvector(as_bits(x) >> 16, Vh);
  std::memcpy(p, &half, sizeof half);
}
/// Rounds to T and back, as storing and loading would.
RETINUE_INLINE Vf round_to(Vf x, const float*) { return x; }
RETINUE_INLINE Vf round_to(Vf x, const BFloat16*) {
  const Vu bits = as_bits(x);
  const Vu rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) & 0xFFFF0000U;
  return select(x != x, x, as_float(rounded));
}

/// The first `count` < 16 elements; the others are zero.
template <class T>
RETINUE_INLINE Vf load_part(const T* p, std::int64_t count) {
  T part[kLanes] = {};
  std::memcpy(part, p, static_cast<std::size_t>(count) * sizeof(T));
  return load(part);
}
template <class T>
RETINUE_INLINE void store_part(T* p, Vf x, std::int64_t count) {
  T part[kLanes];
  store(part, x);
  std::memcpy(p, part, static_cast<std::size_t>(count) * sizeof(T));
}

/// Lanes combined pairwise at distance 8, 4, 2, 1: the fixed tree of a row.
template <class Combine>
RETINUE_INLINE float combine_lanes(Vf x, Combine&& combine) {
  const Vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  x = combine(x, __builtin_shuffle(x, lane + 8));
  x = combine(x, __builtin_shuffle(x, lane + 4));
  x = combine(x, __builtin_shuffle(x, lane + 2));
  return combine(x, __builtin_shuffle(x, lane + 1))[0];
}
RETINUE_INLINE float sum_lanes(Vf x) {
  return combine_lanes(x, [](Vf a, Vf b) { return a + b; });
}
RETINUE_INLINE float max_lanes(Vf x) {
  return combine_lanes(x, [](Vf a, Vf b) { return max(a, b); });
}

/// p · 2ⁿ, n whole and within ±151, rounded where it leaves the normal numbers.
RETINUE_INLINE Vf scale_by_power(Vf p, Vf n) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vf>(
      _mm512_maskz_scalef_ps(kAll, reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(n)));
#else
  // In two factors, so that results below the smallest normal are reached too.
  const Vi exponent = __builtin_convertvector(n, Vi);
  const Vi half = exponent >> 1;
  return p * as_float(reinterpret_cast<Vu>((half + 127) << 23)) *
         as_float(reinterpret_cast<Vu>((exponent - half + 127) << 23));
#endif
}

/// e^x within 2 ulp; inf where that overflows; 0 below -104 (so also for -inf); NaN stays NaN.
/// Cody-Waite reduction by ln 2 in two parts, then the Taylor sum to r⁷: |r| ≤ ln2/2, next term
/// below 2⁻²⁷.
RETINUE_INLINE Vf exp(Vf x) {
  const Vf clamped = min(splat(90.0F), max(splat(-104.0F), x));
  // Adding 1.5 · 2²³ rounds to an integer in the low bits.
  const Vf n = fma(clamped, splat(1.44269504F), splat(12582912.0F)) - 12582912.0F;
  Vf r = fma(n, splat(-0.693359375F), clamped);
  r = fma(n, splat(2.12194440e-4F), r);
  Vf p = splat(1.0F / 5040);
  p = fma(p, r, splat(1.0F / 720));
  p = fma(p, r, splat(1.0F / 120));
  p = fma(p, r, splat(1.0F / 24));
  p = fma(p, r, splat(1.0F / 6));
  p = fma(p, r, splat(0.5F));
  return scale_by_power(fma(p * r, r, r) + 1.0F, n);
}

}  // namespace
}  // namespace retinue::ops::simd
