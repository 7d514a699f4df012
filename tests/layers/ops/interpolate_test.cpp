#include "layers/ops/interpolate.h"

#include "tests/support/op_test.h"
#include "tests/support/tables.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

struct Grid {
  std::int64_t side, frames, rows, columns, merge, hidden;
  [[nodiscard]] std::string text() const {
    return dims({{"side", side},
                 {"frames", frames},
                 {"rows", rows},
                 {"columns", columns},
                 {"merge", merge},
                 {"hidden", hidden}});
  }
};

class AddInterpolated : public testing::TestWithParam<Instance<Grid>> {};

/// torch.linspace(0, side - 1, count) in f32.
float grid_point(std::int64_t side, std::int64_t count, std::int64_t i) {
  const auto end = static_cast<float>(side - 1);
  if (count == 1) return 0;
  const float step = end / static_cast<float>(count - 1);
  return i < count / 2 ? step * static_cast<float>(i)
                       : std::fma(-step, static_cast<float>(count - 1 - i), end);
}

/// The definition, each rounding where the reference has one: no tolerance.
template <class T>
void interpolate(Guarded<T>& table, const Grid& g, Guarded<T>& y) {
  const auto round = [](float x) { return as_float(from_double<T>(x)); };
  for (std::int64_t row = 0; row < g.rows; ++row)
    for (std::int64_t column = 0; column < g.columns; ++column) {
      const float u = grid_point(g.side, g.rows, row), v = grid_point(g.side, g.columns, column);
      const auto y0 = static_cast<std::int64_t>(u), x0 = static_cast<std::int64_t>(v);
      const std::int64_t y1 = std::min(y0 + 1, g.side - 1), x1 = std::min(x0 + 1, g.side - 1);
      const float fy = u - static_cast<float>(y0), fx = v - static_cast<float>(x0);
      const float weight[4] = {round((1 - fy) * (1 - fx)), round((1 - fy) * fx),
                               round(fy * (1 - fx)), round(fy * fx)};
      const std::int64_t from[4] = {y0 * g.side + x0, y0 * g.side + x1, y1 * g.side + x0,
                                    y1 * g.side + x1};
      const std::int64_t block = row / g.merge * (g.columns / g.merge) + column / g.merge;
      const std::int64_t at =
          block * g.merge * g.merge + row % g.merge * g.merge + column % g.merge;
      for (std::int64_t k = 0; k < g.hidden; ++k) {
        float sum = round(as_float(table.at(from[0], k)) * weight[0]);
        for (int corner = 1; corner < 4; ++corner)
          sum = round(sum + round(as_float(table.at(from[corner], k)) * weight[corner]));
        for (std::int64_t frame = 0; frame < g.frames; ++frame) {
          T& out = y.at(frame * g.rows * g.columns + at, k);
          out = from_double<T>(as_float(out) + sum);
        }
      }
    }
}

TEST_P(AddInterpolated, MatchesTheDefinitionBitForBit) {
  const Grid g = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      const Shape shape{g.frames * g.rows * g.columns, g.hidden};
      auto table = Guarded<T>::random({g.side * g.side, g.hidden}, 1, 3);
      auto y = Guarded<T>::random(shape, 2, 5);
      auto want = Guarded<T>::of(shape, y.values());
      interpolate(table, g, want);
      ops::add_interpolated(ctx, table, g.frames, g.rows, g.columns, g.merge, y);
      EXPECT_TRUE(same_bits(y, want));
      EXPECT_TRUE(y.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Shapes, AddInterpolated,
                         testing::ValuesIn(in_each_dtype<Grid>({{16, 1, 2, 2, 2, 1},
                                                                {16, 2, 4, 6, 2, 17},
                                                                {16, 1, 1, 5, 1, 16},
                                                                {48, 3, 6, 4, 2, 33},
                                                                {48, 1, 48, 48, 2, 8},
                                                                {16, 1, 9, 6, 3, 72},
                                                                {48, 1, 68, 120, 2, 5}})),
                         InstanceName{});

/// Where a table is one at one position and zero elsewhere, the result is that corner's weight. So
/// all indices and weights of the reference show in the result.
TEST(AddInterpolated, HasTheIndicesAndWeightsOfTheReference) {
  const auto tables = golden_tables();
  int checked = 0;
  for (const auto& grid : tables.at("position_embeddings").at("grids")) {
    if (!grid.contains("weights_f32")) continue;  // large ones: hashes only
    ++checked;
    const std::int64_t side = grid.at("side"), rows = grid.at("grid")[0],
                       columns = grid.at("grid")[1];
    const auto check_dtype = [&](auto element, const char* key) {
      using T = decltype(element);
      TestContext ctx;
      // One column of the table per position: hidden = side², the table is the identity.
      const std::int64_t positions = side * side;
      auto table = Guarded<T>::filled({positions, positions}, from_double<T>(0));
      for (std::int64_t i = 0; i < positions; ++i) table.at(i, i) = from_double<T>(1);
      auto y = Guarded<T>::filled({rows * columns, positions}, from_double<T>(0));
      ops::add_interpolated(ctx, table, 1, rows, columns, 1, y);
      auto want = Guarded<T>::filled({rows * columns, positions}, from_double<T>(0));
      for (std::size_t corner = 0; corner < 4; ++corner)
        for (std::int64_t p = 0; p < rows * columns; ++p) {
          const auto at = static_cast<std::size_t>(p);
          const std::int64_t index = grid.at("index")[corner][at];
          T& out = want.at(p, index);
          const T weight = from_hex<T>(grid.at(key)[corner][at]);
          out = from_double<T>(as_float(out) + as_float(weight));  // corners may coincide
        }
      EXPECT_TRUE(same_bits(y, want)) << side << ", " << rows << ", " << columns;
    };
    check_dtype(float{}, "weights_f32");
    check_dtype(BFloat16{}, "weights_bf16");
  }
  EXPECT_GT(checked, 0);
}

TEST(AddInterpolated, LinspaceHasTheBitsOfTheReference) {
  const auto tables = golden_tables();
  for (const auto& row : tables.at("position_embeddings").at("linspace").at("rows")) {
    const std::int64_t side = row.at("side"), count = row.at("count");
    for (std::int64_t i = 0; i < count; ++i)
      EXPECT_EQ(grid_point(side, count, i),
                from_hex<float>(row.at("f32")[static_cast<std::size_t>(i)]))
          << side << ", " << count << ", " << i;
    // A table whose entries are their own row gives the point back, where the sum is exact: at
    // whole points, of which there are at least the ends.
    TestContext ctx;
    Guarded<float> table({side * side, 1});
    for (std::int64_t p = 0; p < side * side; ++p) table.at(p) = static_cast<float>(p / side);
    auto y = Guarded<float>::filled({count, 1}, 0);
    ops::add_interpolated(ctx, table, 1, count, 1, 1, y);
    EXPECT_EQ(y.at(0), 0);
    EXPECT_EQ(y.at(count - 1), static_cast<float>(side - 1));
  }
}

TEST(AddInterpolated, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> table({16, 8}), oblong({15, 8}), y({24, 8}), narrow({24, 7});
  Guarded<BFloat16> y_bf16({24, 8});
  EXPECT_THROW(ops::add_interpolated(ctx, oblong, 1, 4, 6, 2, y), BugError);
  EXPECT_THROW(ops::add_interpolated(ctx, table, 1, 4, 6, 2, narrow), BugError);
  EXPECT_THROW(ops::add_interpolated(ctx, table, 2, 4, 6, 2, y), BugError);
  EXPECT_THROW(ops::add_interpolated(ctx, table, 1, 4, 6, 4, y), BugError);
  EXPECT_THROW(ops::add_interpolated(ctx, table, 1, 4, 6, 0, y), BugError);
  EXPECT_THROW(ops::add_interpolated(ctx, table, 1, 4, 6, 2, y_bf16), BugError);
}

}  // namespace
}  // namespace retinue::test
