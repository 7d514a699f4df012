#include "parallel/device/dtype.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retinue {
namespace {

TEST(BFloat16, ComesBackFromEveryPattern) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const BFloat16 x{static_cast<std::uint16_t>(bits)};
    if (std::isnan(to_float(x)))
      EXPECT_TRUE(std::isnan(to_float(to_bfloat16(to_float(x))))) << bits;
    else
      EXPECT_EQ(to_bfloat16(to_float(x)), x) << bits;
  }
}

TEST(BFloat16, RoundsToNearestAndHalvesToEven) {
  EXPECT_EQ(to_float(to_bfloat16(257)), 256);
  EXPECT_EQ(to_float(to_bfloat16(259)), 260);
  EXPECT_EQ(to_float(to_bfloat16(257.0001F)), 258);
  EXPECT_EQ(to_float(to_bfloat16(-257)), -256);
  EXPECT_EQ(to_float(to_bfloat16(3.4e38F)), INFINITY);
  EXPECT_TRUE(std::signbit(to_float(to_bfloat16(-0.0F))));
}

TEST(BFloat16, KeepsANaNWhoseUpperHalfLooksInfinite) {
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7F800001U)))));
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0xFFFFFFFFU)))));
}

/// The number of a pattern, by the definition of the format.
double e4m3_number(int bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

TEST(Float8E4M3, IsTheNumberOfItsPattern) {
  for (int bits = 0; bits < 256; ++bits) {
    const Float8E4M3 x{static_cast<std::uint8_t>(bits)};
    if ((bits & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(to_float(x))) << bits;
      EXPECT_EQ(to_float8_e4m3(to_float(x)), x) << bits;
      continue;
    }
    EXPECT_EQ(to_float(x), e4m3_number(bits)) << bits;
    EXPECT_EQ(std::signbit(to_float(x)), bits >= 0x80) << bits;
    EXPECT_EQ(to_float8_e4m3(to_float(x)), x) << bits;
  }
}

TEST(Float8E4M3, RoundsToNearestAndHalvesToEven) {
  for (int bits = 0; bits < 0x7E; ++bits) {
    const double low = e4m3_number(bits), high = e4m3_number(bits + 1);
    const auto half = static_cast<float>((low + high) / 2);  // exact
    const auto even = static_cast<std::uint8_t>(bits % 2 == 0 ? bits : bits + 1);
    EXPECT_EQ(to_float8_e4m3(half).bits, even) << bits;
    EXPECT_EQ(to_float8_e4m3(std::nextafter(half, 0.0F)).bits, bits);
    EXPECT_EQ(to_float8_e4m3(std::nextafter(half, 1000.0F)).bits, bits + 1);
    EXPECT_EQ(to_float8_e4m3(-half).bits, even | 0x80);
  }
}

TEST(Float8E4M3, SaturatesAndKeepsNaN) {
  for (const float large : {448.1F, 464.0F, 1e30F, INFINITY}) {
    EXPECT_EQ(to_float(to_float8_e4m3(large)), 448) << large;
    EXPECT_EQ(to_float(to_float8_e4m3(-large)), -448) << large;
  }
  EXPECT_TRUE(std::isnan(to_float(to_float8_e4m3(NAN))));
  EXPECT_EQ(to_float8_e4m3(1e-30F).bits, 0);
  EXPECT_EQ(to_float8_e4m3(-1e-30F).bits, 0x80);
}

TEST(DType, KnowsItsSize) {
  EXPECT_EQ(size_bytes(DType::kI64), 8U);
  EXPECT_EQ(size_bytes(dtype_of<BFloat16>()), 2U);
  EXPECT_EQ(size_bytes(dtype_of<std::uint8_t>()), sizeof(std::uint8_t));
  EXPECT_EQ(name(dtype_of<float>()), "f32");
}

}  // namespace
}  // namespace retinue
