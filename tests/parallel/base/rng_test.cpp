#include "parallel/base/rng.h"

#include <gtest/gtest.h>

#include <cmath>

namespace retinue {
namespace {

// First outputs of splitmix64 seeded with 0, as published with the generator (Vigna).
TEST(Rng, IsSplitmix64) {
  EXPECT_EQ(random_bits(0, 0), 0xE220A8397B1DCDAFULL);
  EXPECT_EQ(random_bits(0, 1), 0x6E789E6AA1B965F4ULL);
  EXPECT_EQ(random_bits(0, 2), 0x06C45D188009454FULL);
}

// FNV-1a vectors of draft-eastlake-fnv.
TEST(Rng, HashesNamesWithFnv1a) {
  EXPECT_EQ(fnv1a64(""), 0xCBF29CE484222325ULL);
  EXPECT_EQ(fnv1a64("foobar"), 0x85944171F73967E8ULL);
}

TEST(Rng, UnitDoublesAreUniform) {
  constexpr int kDraws = 100000;
  double sum = 0, low = 1, high = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = to_unit_double(random_bits(42, static_cast<std::uint64_t>(i)));
    sum += u, low = std::min(low, u), high = std::max(high, u);
  }
  // The mean of n uniform draws has standard deviation 1/sqrt(12 n) = 0.0009; six of them.
  EXPECT_NEAR(sum / kDraws, 0.5, 6 / std::sqrt(12.0 * kDraws));
  EXPECT_GE(low, 0);
  EXPECT_LT(high, 1);
}

}  // namespace
}  // namespace retinue
