#include "layers/ops/patch_positions.h"

#include "tests/support/op_test.h"

#include <gtest/gtest.h>

namespace retinue::test {
namespace {

struct Grid {
  std::int64_t frames, rows, columns, merge;
};

/// The definition: blocks of merge × merge patches in raster order, and so are the patches in each.
std::vector<std::int32_t> positions_of(const Grid& g) {
  std::vector<std::int32_t> rows, columns;
  for (std::int64_t frame = 0; frame < g.frames; ++frame)
    for (std::int64_t patch = 0; patch < g.rows * g.columns; ++patch) {
      const std::int64_t block = patch / (g.merge * g.merge), inside = patch % (g.merge * g.merge);
      const std::int64_t across = g.columns / g.merge;
      rows.push_back(static_cast<std::int32_t>(block / across * g.merge + inside / g.merge));
      columns.push_back(static_cast<std::int32_t>(block % across * g.merge + inside % g.merge));
    }
  rows.insert(rows.end(), columns.begin(), columns.end());
  return rows;
}

TEST(PatchPositions, AreRowsAndColumnsInMergeOrder) {
  for (const Grid g : {Grid{1, 2, 2, 2}, Grid{2, 4, 6, 2}, Grid{1, 1, 5, 1}, Grid{3, 9, 6, 3},
                       Grid{1, 68, 120, 2}, Grid{0, 4, 4, 2}})
    for_each_isa([&](Context& ctx) {
      Guarded<std::int32_t> positions({2, g.frames * g.rows * g.columns});
      ops::patch_positions(ctx, g.frames, g.rows, g.columns, g.merge, positions);
      EXPECT_EQ(positions.values(), positions_of(g)) << g.rows << " x " << g.columns;
      EXPECT_TRUE(positions.intact());
    });
}

TEST(PatchPositions, RefuseWhatDoesNotFit) {
  TestContext ctx;
  Guarded<std::int32_t> positions({2, 24}), one({1, 24});
  Guarded<float> floats({2, 24});
  EXPECT_THROW(ops::patch_positions(ctx, 1, 4, 4, 2, positions), BugError);
  EXPECT_THROW(ops::patch_positions(ctx, 1, 4, 6, 4, positions), BugError);
  EXPECT_THROW(ops::patch_positions(ctx, 1, 4, 6, 0, positions), BugError);
  EXPECT_THROW(ops::patch_positions(ctx, 1, 4, 6, 2, one), BugError);
  EXPECT_THROW(ops::patch_positions(ctx, 1, 4, 6, 2, floats), BugError);
}

}  // namespace
}  // namespace retinue::test
