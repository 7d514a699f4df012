#include "layers/ops/layer_norm.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

constexpr float kEps = 1e-6F;

class LayerNorm : public testing::TestWithParam<Instance<RowsWidth>> {};

/// One rounding to the dtype; in f32 two sums of a sixteenth of the row per lane, their trees, and
/// a square root, a division, a subtraction, a scale, a multiply-add.
Bound norm_bound(DType dtype, std::int64_t width) {
  return bound_of(dtype, 1, static_cast<double>(width) / 8 + 16);
}

TEST_P(LayerNorm, MatchesF64Reference) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({rows, width}, 1, 3, 4);
      auto weight = Guarded<T>::random({width}, 2);
      auto bias = Guarded<T>::random({width}, 3);
      Guarded<T> y({rows, width}, 5);
      ops::layer_norm(ctx, x, weight, bias, kEps, y);
      const auto want =
          layer_norm_reference(x.doubles(), weight.doubles(), bias.doubles(), kEps, rows, width);
      EXPECT_TRUE(close(y.doubles(), want, norm_bound(dtype_of<T>(), width)));
      EXPECT_TRUE(y.intact());
      Guarded<T> in_place = Guarded<T>::of({rows, width}, x.values());
      ops::layer_norm(ctx, in_place, weight, bias, kEps, in_place);
      EXPECT_TRUE(same_bits(in_place, y));
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, LayerNorm,
    testing::ValuesIn(in_each_dtype<RowsWidth>(
        {{1, 2}, {2, 15}, {5, 16}, {7, 17}, {3, 31}, {4, 1031}, {9, 1152}, {3, 4608}})),
    InstanceName{});

/// Squares are taken about the mean: a row far from zero keeps its variance.
TEST(LayerNorm, KeepsTheVarianceOfAnOffsetRow) {
  for_each_isa([&](Context& ctx) {
    Guarded<float> x({1, 64}), y({1, 64});
    double i = 0;
    x.for_each([&](float& v) { v = static_cast<float>(4096 + std::fmod(i++, 2)); });
    auto weight = Guarded<float>::filled({64}, 1), bias = Guarded<float>::filled({64}, 0);
    ops::layer_norm(ctx, x, weight, bias, kEps, y);
    for (std::int64_t c = 0; c < 64; ++c) EXPECT_NEAR(y.at(0, c), c % 2 == 0 ? -1 : 1, 1e-5);
  });
}

TEST(LayerNorm, KeepsNaNInItsRow) {
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({5, 40}, 1);
    auto weight = Guarded<BFloat16>::random({40}, 2), bias = Guarded<BFloat16>::random({40}, 3);
    x.at(1, 0) = to_bfloat16(NAN);
    Guarded<BFloat16> y({5, 40});
    ops::layer_norm(ctx, x, weight, bias, kEps, y);
    for (std::int64_t t = 0; t < 5; ++t)
      for (std::int64_t i = 0; i < 40; ++i) EXPECT_EQ(std::isnan(to_float(y.at(t, i))), t == 1);
  });
}

TEST(LayerNorm, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 8}), y({3, 8}), short_y({2, 8}), weight({8}), bias({8}), long_bias({9});
  Guarded<BFloat16> y_bf16({3, 8}), bias_bf16({8});
  EXPECT_THROW(ops::layer_norm(ctx, x, weight, bias, kEps, short_y), BugError);
  EXPECT_THROW(ops::layer_norm(ctx, x, long_bias, bias, kEps, y), BugError);
  EXPECT_THROW(ops::layer_norm(ctx, x, weight, long_bias, kEps, y), BugError);
  EXPECT_THROW(ops::layer_norm(ctx, x, weight, bias_bf16, kEps, y), BugError);
  EXPECT_THROW(ops::layer_norm(ctx, x, weight, bias, kEps, y_bf16), BugError);
  Guarded<float> x3({2, 2, 8}), y3({2, 2, 8});
  EXPECT_THROW(ops::layer_norm(ctx, x3, weight, bias, kEps, y3), BugError);
}

}  // namespace
}  // namespace retinue::test
