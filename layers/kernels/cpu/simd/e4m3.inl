// Sixteen or more e4m3 at once: widened, rounded to and quantised. Included once by table.simd.cpp.

#pragma once

#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/kernels/cpu/simd/simd.h"

#include <bit>

namespace retinue::ops::simd {
namespace {

/// In bf16, e4m3 is widened to 2⁻⁸ of its value. The exponents' difference is then 112, whose bits are
/// none of e4m3's, so that it needs no addition. A scale makes up for it. Products of two e4m3 stay
/// normal numbers: the least is 2⁻⁹ · 2⁻¹⁷.
inline constexpr float kWidenedScale = 0x1p8F;
inline constexpr int kExponentBits = 112 << 7;

#if defined(__AVX512F__)
inline constexpr char kExponent = 0x78;  // of a byte; zeros and subnormal numbers have none

RETINUE_INLINE __m256i load_bytes(const Float8E4M3* p) {
  __m256i bytes;
  std::memcpy(&bytes, p, sizeof bytes);
  return bytes;
}

/// Sixteen pairs, in the same order, where every byte has an exponent.
RETINUE_INLINE Vu widen_normal(__m256i bytes) {
  // The sign comes along in the upper bits.
  const __m512i words = _mm512_maskz_cvtepi8_epi16(0xFFFFFFFF, bytes);
  constexpr int kAAndBOrC = 0xEA;
  return reinterpret_cast<Vu>(_mm512_ternarylogic_epi64(
      _mm512_slli_epi16(words, 4), _mm512_set1_epi16(static_cast<short>(0x87F0)),
      _mm512_set1_epi16(kExponentBits), kAAndBOrC));
}

/// Sixteen pairs, whatever they are.
RETINUE_INLINE Vu widen(__m256i bytes) {
  const __m512i words = _mm512_maskz_cvtepi8_epi16(0xFFFFFFFF, bytes);
  const __m512i moved = _mm512_slli_epi16(words, 4);
  // Subnormal e4m3 are normal in bf16: 0 to 7 times 2⁻⁹. The index is the word's last five bits,
  // of which two belong to the exponent, which is zero here.
  const __m512i subnormals = _mm512_castsi128_si512(
      _mm_setr_epi16(0, 0x3700, 0x3780, 0x37C0, 0x3800, 0x3820, 0x3840, 0x3860));
  const __mmask32 subnormal = _mm256_testn_epi8_mask(bytes, _mm256_set1_epi8(kExponent));
  const __m512i bits = _mm512_mask_permutexvar_epi16(reinterpret_cast<__m512i>(widen_normal(bytes)),
                                                     subnormal, words, subnormals);
  constexpr int kAOrBAndC = 0xF8;
  return reinterpret_cast<Vu>(_mm512_ternarylogic_epi64(
      bits, moved, _mm512_set1_epi16(static_cast<short>(0x8000)), kAOrBAndC));
}
RETINUE_INLINE Vu widen(const Float8E4M3* p) { return widen(load_bytes(p)); }
#else
RETINUE_INLINE Vu widen(const Float8E4M3* p) {
  using Bytes = Vector<std::uint8_t, 2 * kLanes>;
  using Words = Vector<std::uint16_t, 2 * kLanes>;
  using U16 = std::uint16_t;
  const Words words = convert<Words>(load_bits<Bytes>(p));
  const Words magnitude = words & U16{0x7F}, mantissa = words & U16{7};
  const Words normal = (magnitude << 4) | U16{kExponentBits};
  // Subnormal e4m3 are normal in bf16: 0 to 7 times 2⁻⁹.
  const Words four = ((mantissa & U16{3}) << 5) | U16{0x3800};
  const Words two = ((mantissa & U16{1}) << 6) | U16{0x3780};
  const Words zero{}, one = zero + U16{0x3700};
  const Words subnormal = select(
      mantissa > U16{3}, four, select(mantissa > U16{1}, two, select(mantissa > U16{0}, one, zero)));
  return bits_as<Vu>(select(magnitude > U16{7}, normal, subnormal) | ((words & U16{0x80}) << 8));
}
#endif

/// n values, a multiple of 32, at `to`: in bf16 2⁻⁸ of them, in f32 themselves. kMakesUp<T> times
/// those are the values.
template <class T>
inline constexpr float kMakesUp = kPair<T> == 2 ? kWidenedScale : 1.0F;
RETINUE_INLINE void widen_all(const Float8E4M3* from, std::int64_t n, BFloat16* to) {
  for (std::int64_t i = 0; i < n; i += 2 * kLanes) store_bits(to + i, widen(from + i));
}
RETINUE_INLINE void widen_all(const Float8E4M3* from, std::int64_t n, float* to) {
  for (std::int64_t i = 0; i < n; i += 2 * kLanes) {
    BFloat16 part[2 * kLanes];
    widen_all(from + i, 2 * kLanes, part);
    store(to + i, load(part) * kWidenedScale);
    store(to + i + kLanes, load(part + kLanes) * kWidenedScale);
  }
}

/// Rounds |y| ≤ 448 to the nearest e4m3, halves to even.
RETINUE_INLINE Vf round_to_e4m3(const Vf& y) {
  const Vu bits = as_bits(y);
  const Vf normal = as_float((bits + 0x7FFFFU + ((bits >> 20) & 1U)) & 0xFFF00000U);
  // From 2¹⁴ to 2¹⁵, half of which stays on either side of 1.5 · 2¹⁴, floats are multiples of 2⁻⁹.
  const Vf subnormal = (y + 0x1.8p14F) - 0x1.8p14F;
  const Vu magnitude = bits & 0x7FFFFFFFU;
  return select(bits_as<Vi>(magnitude) < 0x3C800000, subnormal, normal);  // 2⁻⁶
}

/// max |x| / 448 over n elements, n a multiple of 16. NaN counts as more than infinity, and that as
/// more than all numbers: with either, the scale is not finite.
template <class T>
RETINUE_INLINE float e4m3_scale(const T* x, std::int64_t n) {
  Vi most{};
  for (std::int64_t i = 0; i < n; i += kLanes) {
    // As integers these magnitudes are ordered so.
    most = max(bits_as<Vi>(as_bits(load(x + i)) & 0x7FFFFFFFU), most);
  }
  const std::int32_t largest =
      combine_lanes(most, [](const auto& a, const auto& b) { return max(a, b); });
  return std::bit_cast<float>(largest) / kMaxFloat8E4M3;
}
/// Sixteen x / scale, rounded to e4m3, as floats. A scale of 0 means that all x are 0.
template <class T>
RETINUE_INLINE Vf divided_to_e4m3(const T* x, float scale) {
  const Vf y = load(x) / splat(scale == 0 ? 1.0F : scale);
  return round_to_e4m3(min(max(y, splat(-kMaxFloat8E4M3)), splat(kMaxFloat8E4M3)));
}
/// Sixteen results of round_to_e4m3.
RETINUE_INLINE void store_e4m3(Float8E4M3* p, const Vf& y) {
  const Vu magnitude = as_bits(y) & 0x7FFFFFFFU;
  const Vu normal = (magnitude >> 20) - (120U << 3);
  const Vu subnormal = bits_as<Vu>(convert<Vi>(as_float(magnitude) * 0x1p9F));
  const Vu bits = select(magnitude < 0x3C800000U, subnormal, normal);  // 2⁻⁶
  store_bits(p, convert<Vector<std::uint8_t>>(bits | (as_bits(y) >> 24 & 0x80U)));
}

}  // namespace
}  // namespace retinue::ops::simd
