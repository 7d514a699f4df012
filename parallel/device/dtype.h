#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace retinue {

enum class DType : std::uint8_t { kF32, kBF16, kI64, kI32, kU8, kF8E4M3 };

/// The upper half of an IEEE binary32. Storage only: arithmetic happens in f32.
struct BFloat16 {
  std::uint16_t bits;

  friend bool operator==(BFloat16, BFloat16) = default;
};

/// Sign, four bits of exponent (bias 7), three of mantissa; no infinities, NaN where all others are
/// ones, ±448 the largest. Storage only.  Micikevicius et al. 2022, arXiv:2209.05433.
struct Float8E4M3 {
  std::uint8_t bits;

  friend bool operator==(Float8E4M3, Float8E4M3) = default;
};
inline constexpr float kMaxFloat8E4M3 = 448;

constexpr float to_float(float value) { return value; }
constexpr float to_float(BFloat16 value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16);
}

/// Rounds to nearest, ties to even; NaN stays a quiet NaN.
constexpr BFloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
    return {static_cast<std::uint16_t>((bits >> 16) | 0x0040U)};
  return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16)};
}

constexpr float to_float(Float8E4M3 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits >> 7) << 31;
  const std::uint32_t magnitude = value.bits & 0x7FU;
  if (magnitude == 0x7F) return std::bit_cast<float>(sign | 0x7FC00000U);
  // As f32 the same bits are the number times 2⁻¹²⁰, subnormal ones too.
  return std::bit_cast<float>(sign | magnitude << 20) * 0x1p120F;
}

/// Rounds to nearest, ties to even; what is larger than ±448 becomes that; NaN stays NaN.
constexpr Float8E4M3 to_float8_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>(bits >> 31 << 7);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return {static_cast<std::uint8_t>(sign | 0x7FU)};
  if (magnitude >= std::bit_cast<std::uint32_t>(kMaxFloat8E4M3))
    return {static_cast<std::uint8_t>(sign | 0x7EU)};
  if (magnitude < std::bit_cast<std::uint32_t>(0x1p-6F)) {  // multiples of 2⁻⁹
    // Numbers from 2¹⁴ to 2¹⁵ are that far from each other, so that the addition rounds.
    const float rounded = std::bit_cast<float>(magnitude) + 0x1p14F;
    return {static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(rounded) & 0xFU))};
  }
  const std::uint32_t rounded = magnitude + 0x7FFFFU + ((magnitude >> 20) & 1U);
  return {static_cast<std::uint8_t>(sign | (rounded - (120U << 23)) >> 20)};
}

constexpr std::size_t size_bytes(DType dtype) {
  switch (dtype) {
    case DType::kI64:
      return 8;
    case DType::kF32:
    case DType::kI32:
      return 4;
    case DType::kBF16:
      return 2;
    case DType::kU8:
    case DType::kF8E4M3:
      return 1;
  }
  return 0;
}

constexpr std::string_view name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kBF16:
      return "bf16";
    case DType::kI64:
      return "i64";
    case DType::kI32:
      return "i32";
    case DType::kU8:
      return "u8";
    case DType::kF8E4M3:
      return "f8_e4m3";
  }
  return "?";
}

template <class T>
inline constexpr bool kIsElement = false;
template <>
inline constexpr bool kIsElement<float> = true;
template <>
inline constexpr bool kIsElement<BFloat16> = true;
template <>
inline constexpr bool kIsElement<std::int64_t> = true;
template <>
inline constexpr bool kIsElement<std::int32_t> = true;
template <>
inline constexpr bool kIsElement<std::uint8_t> = true;
template <>
inline constexpr bool kIsElement<Float8E4M3> = true;

template <class T>
requires kIsElement<T>
constexpr DType dtype_of() {
  if constexpr (std::is_same_v<T, float>) return DType::kF32;
  if constexpr (std::is_same_v<T, BFloat16>) return DType::kBF16;
  if constexpr (std::is_same_v<T, std::int64_t>) return DType::kI64;
  if constexpr (std::is_same_v<T, std::int32_t>) return DType::kI32;
  if constexpr (std::is_same_v<T, std::uint8_t>) return DType::kU8;
  if constexpr (std::is_same_v<T, Float8E4M3>) return DType::kF8E4M3;
}

}  // namespace retinue
