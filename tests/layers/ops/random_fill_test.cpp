#include "layers/ops/random_fill.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

constexpr ops::RandomRule kRule{0xFEDCBA9876543210ULL, 1, 0.25};

struct Slice {
  std::int64_t rows, columns, first, width, gap;
};
const std::vector<Slice> kSlices = {{1, 1, 0, 1, 0},
                                    {7, 1, 3, 1, 0},
                                    {1, 257, 5, 300, 0},
                                    {13, 37, 1009, 41, 3},
                                    {256, 8, 0, 8, 8},
                                    {3, 1000, 0, 1000, 0},
                                    {5, 64, (std::int64_t{1} << 33) + 7, 4097, 1}};

template <class T>
class RandomFill : public testing::Test {};
using Elements = testing::Types<float, BFloat16, Float8E4M3>;
TYPED_TEST_SUITE(RandomFill, Elements);

// Both dtypes run on CUDA, too: for_each_isa leaves f32 out there.
template <class T>
void expect_the_rule(Context& ctx) {
  for (const Slice& s : kSlices) {
    SCOPED_TRACE(std::to_string(s.rows) + " x " + std::to_string(s.columns));
    Guarded<T> y({s.rows, s.columns}, s.gap), want({s.rows, s.columns}, s.gap);
    ops::random_fill(ctx, kRule, s.first, s.width, y);
    for (std::int64_t r = 0; r < s.rows; ++r)
      for (std::int64_t c = 0; c < s.columns; ++c)
        want.at(r, c) = from_double<T>(
            static_cast<double>(ops::random_value(kRule, s.first + r * s.width + c)));
    EXPECT_TRUE(same_bits(y, want));
    EXPECT_TRUE(y.intact());
  }
}

TYPED_TEST(RandomFill, GivesTheSameBitsOnEveryDevice) {
  for_each_isa([](Context& ctx) { expect_the_rule<TypeParam>(ctx); });
  if constexpr (build::kCuda)
    if (std::is_same_v<TypeParam, float> && cuda::availability().devices > 0) {
      test_device() = {DeviceType::kCuda, 0};
      TestContext ctx;
      expect_the_rule<TypeParam>(ctx);
      test_device() = {};
    }
}

TEST(RandomFillRule, CoversCentreAndSpreadEvenly) {
  double sum = 0, least = 9, most = -9;
  constexpr int kCount = 100000;
  for (int i = 0; i < kCount; ++i) {
    const double x = static_cast<double>(ops::random_value(kRule, i));
    sum += x, least = std::min(least, x), most = std::max(most, x);
  }
  // A uniform variable over a width of 0.5 deviates by 0.144; of 1e5, by 4.6e-4.
  EXPECT_NEAR(sum / kCount, 1, 5 * 4.6e-4);
  EXPECT_NEAR(least, 0.75, 0.01);
  EXPECT_NEAR(most, 1.25, 0.01);
}

TEST(RandomFillRule, RefusesWhatIsNoSlice) {
  TestContext ctx;
  Guarded<float> y({2, 8});
  Guarded<std::int32_t> ids({2, 8});
  EXPECT_THROW(ops::random_fill(ctx, kRule, 0, 7, y), BugError);
  EXPECT_THROW(ops::random_fill(ctx, kRule, -1, 8, y), BugError);
  EXPECT_THROW(ops::random_fill(ctx, kRule, 0, 8, ids), BugError);
}

}  // namespace
}  // namespace retinue::test
