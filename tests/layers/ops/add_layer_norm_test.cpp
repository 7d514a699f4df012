#include "layers/ops/add_layer_norm.h"

#include "layers/ops/add.h"
#include "layers/ops/layer_norm.h"
#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

constexpr float kEps = 1e-6F;

class AddLayerNorm : public testing::TestWithParam<Instance<RowsWidth>> {};

/// The ops that it replaces are held against f64 by their own tests.
TEST_P(AddLayerNorm, HasTheBitsOfAddAndThenLayerNorm) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({rows, width}, 1, 3, 4);
      auto branch = Guarded<T>::random({rows, width}, 2, 1);
      auto weight = Guarded<T>::random({width}, 3), bias = Guarded<T>::random({width}, 4);
      auto want_x = Guarded<T>::of({rows, width}, x.values());
      Guarded<T> want_y({rows, width}), y({rows, width}, 5);
      ops::add(ctx, want_x, branch, want_x);
      ops::layer_norm(ctx, want_x, weight, bias, kEps, want_y);
      ops::add_layer_norm(ctx, x, branch, weight, bias, kEps, y);
      EXPECT_TRUE(same_bits(x, want_x));
      EXPECT_TRUE(same_bits(y, want_y));
      EXPECT_TRUE(x.intact() && branch.intact() && y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AddLayerNorm,
    testing::ValuesIn(in_each_dtype<RowsWidth>(
        {{1, 2}, {2, 15}, {5, 16}, {7, 17}, {3, 1024}, {4, 1031}, {9, 1152}, {3, 4608}})),
    InstanceName{});

TEST(AddLayerNorm, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 8}), y({3, 8}), short_y({2, 8}), weight({8}), bias({8}), long_bias({9});
  Guarded<float> branch({3, 8}), short_branch({2, 8}), x3({2, 2, 8});
  Guarded<BFloat16> branch_bf16({3, 8}), y_bf16({3, 8}), bias_bf16({8});
  const auto run = [&](TensorView a, TensorView b, TensorView w, TensorView c, TensorView to) {
    ops::add_layer_norm(ctx, a, b, w, c, kEps, to);
  };
  EXPECT_THROW(run(x, branch, weight, bias, short_y), BugError);
  EXPECT_THROW(run(x, short_branch, weight, bias, y), BugError);
  EXPECT_THROW(run(x, branch_bf16, weight, bias, y), BugError);
  EXPECT_THROW(run(x, branch, long_bias, bias, y), BugError);
  EXPECT_THROW(run(x, branch, weight, long_bias, y), BugError);
  EXPECT_THROW(run(x, branch, weight, bias_bf16, y), BugError);
  EXPECT_THROW(run(x, branch, weight, bias, y_bf16), BugError);
  EXPECT_THROW(run(x3, x3, weight, bias, x3), BugError);
}

}  // namespace
}  // namespace retinue::test
