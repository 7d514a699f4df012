#include "layers/ops/gather_rows.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

class GatherRows : public testing::TestWithParam<Instance<RowsWidth>> {};

/// Exact: no tolerance.
TEST_P(GatherRows, CopiesTheNamedRowsInTheirOrder) {
  const auto [count, width] = GetParam().shape;
  const std::int64_t tokens = 2 * count + 3;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      auto x = Guarded<T>::random({tokens, width}, 1, 5);
      Guarded<T> y({count, width}), want({count, width});
      Guarded<std::int32_t> rows({count});
      for (std::int64_t i = 0; i < count; ++i) {
        rows.at(i) = static_cast<std::int32_t>(i * 5 % tokens);  // some of them twice
        for (std::int64_t c = 0; c < width; ++c) want.at(i, c) = x.at(rows.at(i), c);
      }
      ops::gather_rows(ctx, x, rows, y);
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, GatherRows,
                         testing::ValuesIn(in_each_dtype<RowsWidth>(
                             {{0, 8}, {1, 1}, {2, 15}, {7, 17}, {3, 1031}, {65, 512}})),
                         InstanceName{});

TEST(GatherRows, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> x({3, 8}), y({1, 8}), wide({1, 9});
  Guarded<BFloat16> y_bf16({1, 8});
  auto rows = Guarded<std::int32_t>::filled({1}, 0), two = Guarded<std::int32_t>::filled({2}, 0);
  Guarded<float> float_rows({1});
  EXPECT_THROW(ops::gather_rows(ctx, x, rows, wide), BugError);
  EXPECT_THROW(ops::gather_rows(ctx, x, rows, y_bf16), BugError);
  EXPECT_THROW(ops::gather_rows(ctx, x, two, y), BugError);
  EXPECT_THROW(ops::gather_rows(ctx, x, float_rows, y), BugError);
}

}  // namespace
}  // namespace retinue::test
