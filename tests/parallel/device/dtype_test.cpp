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

TEST(DType, KnowsItsSize) {
  EXPECT_EQ(size_bytes(DType::kI64), 8U);
  EXPECT_EQ(size_bytes(dtype_of<BFloat16>()), 2U);
  EXPECT_EQ(size_bytes(dtype_of<std::uint8_t>()), sizeof(std::uint8_t));
  EXPECT_EQ(name(dtype_of<float>()), "f32");
}

}  // namespace
}  // namespace retinue
