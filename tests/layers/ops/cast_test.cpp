#include "layers/ops/cast.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

#include <bit>

namespace retinue::test {
namespace {

TEST(Cast, RoundsEveryPatternAsTheScalarConversion) {
  // Upper halves of all signs and exponents, with lower halves about the tie.
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 0x10000; upper += 7)
    for (const std::uint32_t lower : {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU})
      values.push_back(std::bit_cast<float>(upper << 16 | lower));
  const Shape shape{3, static_cast<std::int64_t>(values.size() / 3)};
  values.resize(static_cast<std::size_t>(shape.numel()));
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<float>::of(shape, values, 5);
    Guarded<BFloat16> y(shape, 3), want(shape);
    ops::cast(ctx, x, y);
    std::size_t i = 0;
    // A GPU has one NaN.
    const bool one_nan = ctx.device().type == DeviceType::kCuda;
    want.for_each([&](BFloat16& v) {
      const float value = values[i++];
      v = one_nan && std::isnan(value) ? std::bit_cast<BFloat16>(std::uint16_t{0x7FFF})
                                       : to_bfloat16(value);
    });
    EXPECT_TRUE(same_bits(y, want));
    EXPECT_TRUE(y.intact());
  });
}

TEST(Cast, WidensExactly) {
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({7, 37}, 1, 3);
    Guarded<float> y({7, 37}, 5);
    Guarded<BFloat16> back({7, 37}), same({7, 37}, 1);
    ops::cast(ctx, x, y);
    ops::cast(ctx, y, back);
    ops::cast(ctx, x, same);
    EXPECT_TRUE(same_bits(back, x));
    EXPECT_TRUE(same_bits(same, x));
    EXPECT_TRUE(y.intact() && same.intact());
    EXPECT_EQ(y.at(3, 5), to_float(x.at(3, 5)));
  });
}

TEST(Cast, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 8}), wide({3, 9});
  Guarded<std::int32_t> ids({3, 8});
  EXPECT_THROW(ops::cast(ctx, x, wide), BugError);
  EXPECT_THROW(ops::cast(ctx, ids, x), BugError);
  EXPECT_THROW(ops::cast(ctx, x, ids), BugError);
}

}  // namespace
}  // namespace retinue::test
