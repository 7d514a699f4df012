#pragma once

// Tested through tests/layers/ops/gelu_test.cpp.

// Arithmetic of sixteen floats. Internal linkage: see vector.h.

#include "layers/kernels/cpu/simd/vector.h"
#include "parallel/device/dtype.h"

#include <cstdint>

namespace retinue::ops::simd {
namespace {  // NOLINT: internal linkage is the point

using Vf = Vector<float>;
using Vi = Vector<std::int32_t>;
using Vu = Vector<std::uint32_t>;
using Vh = Vector<std::uint16_t>;

#if defined(__AVX512F__)
// The unmasked forms trip g++ 12's warning of uninitialised values; with all lanes on, the code is
// the same.
inline constexpr __mmask16 kAll = 0xFFFF;
#endif

template <class V = Vf>
RETINUE_INLINE V splat(Element<V> x) {
  if constexpr (kIsHalves<V>) {
    const auto half = splat<decltype(V::low)>(x);
    return {half, half};
  } else {
    return [x]<int... i>(std::integer_sequence<int, i...>) {
      return V{(static_cast<void>(i), x)...};
    }
    (std::make_integer_sequence<int, sizeof(V) / sizeof x>());
  }
}
RETINUE_INLINE Vu splat(std::uint32_t x) { return splat<Vu>(x); }
RETINUE_INLINE Vu as_bits(const Vf& x) { return bits_as<Vu>(x); }
RETINUE_INLINE Vf as_float(const Vu& x) { return bits_as<Vf>(x); }

/// Returns the second where the two do not compare: max(limit, x) lets a NaN in x through.
template <class V>
RETINUE_INLINE V max(const V& a, const V& b) {
  return select(a > b, a, b);
}
template <class V>
RETINUE_INLINE V min(const V& a, const V& b) {
  return select(a < b, a, b);
}
#if defined(__AVX512F__)
RETINUE_INLINE Vf max(const Vf& a, const Vf& b) {
  return reinterpret_cast<Vf>(
      _mm512_maskz_max_ps(kAll, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}
RETINUE_INLINE Vf min(const Vf& a, const Vf& b) {
  return reinterpret_cast<Vf>(
      _mm512_maskz_min_ps(kAll, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
}
#endif

/// a · b + c, rounded once where the machine can.
template <class V>
RETINUE_INLINE V fma(const V& a, const V& b, const V& c) {
  if constexpr (kIsHalves<V>) {
    return {fma(a.low, b.low, c.low), fma(a.high, b.high, c.high)};
  } else {
#if defined(__AVX512F__)
    return reinterpret_cast<V>(_mm512_fmadd_ps(
        reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b), reinterpret_cast<__m512>(c)));
#elif defined(__FMA__)
    return reinterpret_cast<V>(_mm256_fmadd_ps(
        reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
#else
    return a * b + c;
#endif
  }
}

RETINUE_INLINE Vf load(const float* p) { return load_bits<Vf>(p); }
RETINUE_INLINE void store(float* p, const Vf& x) { store_bits(p, x); }

RETINUE_INLINE Vf load(const BFloat16* p) {
#if defined(__AVX512F__)
  // One instruction; g++ 12 splits the conversion below in halves.
  const auto half = load_bits<__m256i>(p);
  return as_float(reinterpret_cast<Vu>(_mm512_maskz_cvtepu16_epi32(kAll, half)) << 16);
#else
  return as_float(convert<Vu>(load_bits<Vh>(p)) << 16);
#endif
}
/// Rounds to nearest even; NaN stays NaN.
RETINUE_INLINE void store(BFloat16* p, const Vf& x) {
  const Vu bits = as_bits(x);
  const Vu rounded = (bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16;
  const Vu nan = (bits >> 16) | 0x40U;
  store_bits(p, convert<Vh>(select(x != x, nan, rounded)));
}
/// The same, but subnormal values may become zero.
RETINUE_INLINE void store_normal(float* p, const Vf& x) { store(p, x); }
RETINUE_INLINE void store_normal(BFloat16* p, const Vf& x) {
#if defined(__AVX512BF16__)
  store_bits(p, _mm512_cvtneps_pbh(reinterpret_cast<__m512>(x)));
#else
  store(p, x);
#endif
}
/// For results of round_to on a computed value: their NaN are quiet, so NaN needs no test.
RETINUE_INLINE void store_rounded(float* p, const Vf& x) { store(p, x); }
RETINUE_INLINE void store_rounded(BFloat16* p, const Vf& x) {
  store_bits(p, convert<Vh>(as_bits(x) >> 16));
}
/// Rounds to T and back, as storing and loading would.
RETINUE_INLINE Vf round_to(const Vf& x, const float*) { return x; }
RETINUE_INLINE Vf round_to(const Vf& x, const BFloat16*) {
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
RETINUE_INLINE void store_part(T* p, const Vf& x, std::int64_t count) {
  T part[kLanes];
  store(part, x);
  std::memcpy(p, part, static_cast<std::size_t>(count) * sizeof(T));
}

RETINUE_INLINE float sum_lanes(const Vf& x) {
  return combine_lanes(x, [](const auto& a, const auto& b) { return a + b; });
}
RETINUE_INLINE float max_lanes(const Vf& x) {
  return combine_lanes(x, [](const auto& a, const auto& b) { return max(a, b); });
}

/// p · 2ⁿ, n whole and within ±151, rounded where it leaves the normal numbers.
RETINUE_INLINE Vf scale_by_power(const Vf& p, const Vf& n) {
#if defined(__AVX512F__)
  return reinterpret_cast<Vf>(
      _mm512_maskz_scalef_ps(kAll, reinterpret_cast<__m512>(p), reinterpret_cast<__m512>(n)));
#else
  // In two factors, so that results below the smallest normal are reached too.
  const Vi exponent = convert<Vi>(n);
  const Vi half = exponent >> 1;
  return p * bits_as<Vf>((half + 127) << 23) * bits_as<Vf>((exponent - half + 127) << 23);
#endif
}

/// e^x within 2 ulp; inf where that overflows; 0 below -104 (so also for -inf); NaN stays NaN.
/// Cody-Waite reduction by ln 2 in two parts, then the Taylor sum to r⁷: |r| ≤ ln2/2, next term
/// below 2⁻²⁷.
RETINUE_INLINE Vf exp(const Vf& x) {
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
