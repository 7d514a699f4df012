#include "layers/ops/scatter_rows.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

class ScatterRows : public testing::TestWithParam<Instance<RowsWidth>> {};

/// Exact: no tolerance. Rows that no target names keep their bits.
TEST_P(ScatterRows, ReplacesTheTargetsAndNothingElse) {
  const auto [count, width] = GetParam().shape;
  const std::int64_t tokens = 2 * count + 3, features = count + 4;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      // A tap: some columns of wider rows.
      auto source = Guarded<T>::random({features, width}, 1, 3 * width);
      auto x = Guarded<T>::random({tokens, width}, 2, 5);
      auto want = Guarded<T>::of({tokens, width}, x.values());
      Guarded<std::int32_t> rows({count}), targets({count});
      for (std::int64_t i = 0; i < count; ++i) {
        rows.at(i) = static_cast<std::int32_t>(i * 5 % features);
        targets.at(i) = static_cast<std::int32_t>(tokens - 1 - 2 * i);
        for (std::int64_t c = 0; c < width; ++c)
          want.at(targets.at(i), c) = source.at(rows.at(i), c);
      }
      ops::scatter_rows(ctx, source, rows, targets, x);
      EXPECT_TRUE(same_bits(x, want));
      EXPECT_TRUE(x.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, ScatterRows,
                         testing::ValuesIn(in_each_dtype<RowsWidth>(
                             {{0, 8}, {1, 1}, {2, 15}, {7, 17}, {3, 1031}, {65, 512}})),
                         InstanceName{});

TEST(ScatterRows, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> source({3, 8}), x({5, 8}), wide({5, 9});
  Guarded<BFloat16> x_bf16({5, 8});
  auto rows = Guarded<std::int32_t>::filled({1}, 0), two = Guarded<std::int32_t>::filled({2}, 0);
  Guarded<float> float_rows({1});
  EXPECT_THROW(ops::scatter_rows(ctx, source, rows, rows, wide), BugError);
  EXPECT_THROW(ops::scatter_rows(ctx, source, rows, rows, x_bf16), BugError);
  EXPECT_THROW(ops::scatter_rows(ctx, source, rows, two, x), BugError);
  EXPECT_THROW(ops::scatter_rows(ctx, source, float_rows, rows, x), BugError);
}

}  // namespace
}  // namespace retinue::test
