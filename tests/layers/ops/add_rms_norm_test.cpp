#include "layers/ops/add_rms_norm.h"

#include "layers/ops/add.h"
#include "layers/ops/cast.h"
#include "layers/ops/rms_norm.h"
#include "tests/support/op_test.h"
#include "tests/support/quantized_rows.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

constexpr float kEps = 1e-6F;

class AddRmsNorm : public testing::TestWithParam<Instance<RowsWidth>> {};

/// The ops that it replaces are held against f64 by their own tests.
TEST_P(AddRmsNorm, HasTheBitsOfAddAndThenRmsNorm) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({rows, width}, 1, 3, 4);
      auto branch = Guarded<T>::random({rows, width}, 2, 1);
      auto weight = Guarded<T>::random({width}, 3);
      auto want_x = Guarded<T>::of({rows, width}, x.values());
      Guarded<T> want_y({rows, width}), y({rows, width}, 5);
      ops::add(ctx, want_x, branch, want_x);
      ops::rms_norm(ctx, want_x, weight, kEps, want_y);
      ops::add_rms_norm(ctx, x, branch, weight, kEps, y);
      EXPECT_TRUE(same_bits(x, want_x));
      EXPECT_TRUE(same_bits(y, want_y));
      EXPECT_TRUE(x.intact() && branch.intact() && y.intact());
    });
  });
}

/// What a row-parallel sum leaves.
TEST_P(AddRmsNorm, RoundsAnF32BranchAsCastDoes) {
  const auto [rows, width] = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({rows, width}, 1, 0, 4);
      auto branch = Guarded<float>::random({rows, width}, 2, 3);
      auto weight = Guarded<T>::random({width}, 3);
      auto want_x = Guarded<T>::of({rows, width}, x.values());
      Guarded<T> want_y({rows, width}), y({rows, width}, 5), rounded_branch({rows, width});
      ops::cast(ctx, branch, rounded_branch);
      ops::add_rms_norm(ctx, want_x, rounded_branch, weight, kEps, want_y);
      ops::add_rms_norm(ctx, x, branch, weight, kEps, y);
      EXPECT_TRUE(same_bits(x, want_x));
      EXPECT_TRUE(same_bits(y, want_y));
      EXPECT_TRUE(x.intact() && branch.intact() && y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AddRmsNorm,
    testing::ValuesIn(in_each_dtype<RowsWidth>({{1, 1},
                                                {3, 2},
                                                {2, 15},
                                                {5, 16},
                                                {7, 17},
                                                {9, 128},
                                                {3, 1024},  // the last that a warp takes
                                                {3, 1031},
                                                {2, 1032},
                                                {5, 2056},  // one vector past a block
                                                {4, 5120}})),
    InstanceName{});

TEST(AddRmsNorm, KeepsNaNInItsRow) {
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({5, 40}, 1), branch = Guarded<BFloat16>::random({5, 40}, 2);
    auto weight = Guarded<BFloat16>::random({40}, 3);
    branch.at(3, 39) = to_bfloat16(NAN);
    Guarded<BFloat16> y({5, 40});
    ops::add_rms_norm(ctx, x, branch, weight, kEps, y);
    for (std::int64_t t = 0; t < 5; ++t)
      for (std::int64_t i = 0; i < 40; ++i) EXPECT_EQ(std::isnan(to_float(y.at(t, i))), t == 3);
  });
}

class QuantizedAddRmsNorm : public testing::TestWithParam<RowsWidth> {};

template <class Branch>
void leaves_the_bytes_of_its_rows_quantized(const RowsWidth& shape) {
  const auto [rows, width] = shape;
  for_each_isa([&](Context& ctx) {
    auto x = Guarded<BFloat16>::random({rows, width}, 1, 3, 4);
    auto branch = Guarded<Branch>::random({rows, width}, 2, 1);
    auto weight = Guarded<BFloat16>::random({width}, 3);
    if (rows > 2) branch.at(2, width / 2) = from_double<Branch>(NAN);
    auto want_x = Guarded<BFloat16>::of({rows, width}, x.values());
    Guarded<BFloat16> y({rows, width});
    ops::add_rms_norm(ctx, want_x, branch, weight, kEps, y);
    expect_quantized(ctx, y, [&](const ops::MatmulInput& to) {
      auto sum = Guarded<BFloat16>::of({rows, width}, x.values(), 3);
      ops::add_rms_norm(ctx, sum, branch, weight, kEps, to);
      EXPECT_TRUE(same_bits(sum, want_x));
      EXPECT_TRUE(sum.intact());
    });
  });
}

TEST_P(QuantizedAddRmsNorm, LeavesTheBytesOfItsRowsQuantized) {
  leaves_the_bytes_of_its_rows_quantized<BFloat16>(GetParam());
  SCOPED_TRACE("an f32 branch");
  leaves_the_bytes_of_its_rows_quantized<float>(GetParam());
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantizedAddRmsNorm, testing::ValuesIn(quantized_shapes()),
                         [](const auto& instance) { return instance.param.text(); });

TEST(AddRmsNorm, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 8}), y({3, 8}), short_y({2, 8}), weight({8}), short_weight({7});
  Guarded<float> branch({3, 8}), short_branch({2, 8}), x3({2, 2, 8});
  Guarded<BFloat16> x_bf16({3, 8}), y_bf16({3, 8}), branch_bf16({3, 8}), weight_bf16({8});
  Guarded<std::int32_t> ids({3, 8}), ids_weight({8}), ids_y({3, 8});
  EXPECT_THROW(ops::add_rms_norm(ctx, x, branch, weight, kEps, short_y), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, x, short_branch, weight, kEps, y), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, x, branch, short_weight, kEps, y), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, x, branch_bf16, weight, kEps, y), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, x, branch, weight_bf16, kEps, y), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, x, branch, weight, kEps, y_bf16), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, x3, x3, weight, kEps, x3), BugError);
  EXPECT_THROW(ops::add_rms_norm(ctx, ids, ids, ids_weight, kEps, ids_y), BugError);
}

}  // namespace
}  // namespace retinue::test
