#include "layers/weights/finite.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace retinue::layers {
namespace {

/// All bytes lie at an odd address.
template <class T>
std::optional<std::size_t> first_in(StoredType type, const std::vector<T>& values) {
  std::vector<std::byte> bytes(values.size() * sizeof(T) + 1);
  if (!values.empty()) std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));
  return first_not_finite(type, std::span(bytes).subspan(1));
}

TEST(Finite, EveryBFloat16AndHalfIsJudgedByItsExponent) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const std::vector<std::uint16_t> one = {static_cast<std::uint16_t>(bits)};
    const bool bf16_finite = std::isfinite(std::bit_cast<float>(bits << 16));
    EXPECT_EQ(first_in(StoredType::kBF16, one).has_value(), !bf16_finite) << bits;
    const bool half_finite = (bits >> 10 & 31) != 31;  // IEEE 754: 31 is infinite or NaN
    EXPECT_EQ(first_in(StoredType::kF16, one).has_value(), !half_finite) << bits;
  }
}

TEST(Finite, TheFirstOneIsFoundAtAnyPlace) {
  std::vector<float> values(5'000, std::numeric_limits<float>::max());
  EXPECT_EQ(first_in(StoredType::kF32, values), std::nullopt);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()})
    for (const std::size_t at : {4'999U, 1'024U, 1'023U, 17U, 0U}) {
      std::vector<float> some = values;
      some[at] = bad;
      some.back() = bad;
      EXPECT_EQ(first_in(StoredType::kF32, some), at);
    }
}

TEST(Finite, IntegersAndNothingAreFinite) {
  EXPECT_EQ(first_in(StoredType::kI32, std::vector<std::uint32_t>{0x7F80'0000}), std::nullopt);
  EXPECT_EQ(first_in(StoredType::kBF16, std::vector<std::uint16_t>{}), std::nullopt);
}

}  // namespace
}  // namespace retinue::layers
