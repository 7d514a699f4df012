#include "runtime/study/run/plan.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

namespace retinue::study {
namespace {

using testing::HasSubstr;

PlanOptions options() {
  PlanOptions options;
  options.layouts = parse_layouts("1x1,2x1,1x2");
  options.ablations = parse_ablations("null-collectives,preloaded-pixels");
  options.trials = 3;
  return options;
}

TEST(Plan, LayoutsAreReadAndBadOnesNamed) {
  EXPECT_EQ(parse_layouts("4x2")[0].ranks(), 8);
  for (const char* bad : {"", "2", "2x", "0x1", "2x1x1", "1x1,1x1", "-1x2", "2x1 "})
    EXPECT_THROW(parse_layouts(bad), UsageError) << bad;
  EXPECT_THROW(parse_ablations("text-only,none"), UsageError);
  EXPECT_THROW(parse_scaling("weakly"), UsageError);
  EXPECT_THROW(parse_sizes("4,4", "--batches"), UsageError);
}

TEST(Plan, EveryRoundHasEveryCaseOnceAndTheBaselineComesLast) {
  const std::vector<Cell> cells = plan_cells(options());
  EXPECT_EQ(cells.front().kind, CellKind::kWarmUp);
  EXPECT_EQ(cells.back().kind, CellKind::kDrift);
  EXPECT_EQ(cells.back().layout, (Layout{1, 1}));
  // Per round: three layouts, three calibrations, three preloaded, one with null collectives.
  EXPECT_EQ(cells.size(), 1 + 3 * (3 + 3 + 3 + 1) + 1U);
  std::map<int, int> rounds;
  std::set<std::string> ids;
  for (const Cell& cell : cells) {
    EXPECT_TRUE(ids.insert(cell.id()).second) << cell.id();
    if (cell.kind == CellKind::kTrial || cell.kind == CellKind::kCalibration) ++rounds[cell.trial];
    EXPECT_TRUE(cell.ablation != Ablation::kNullCollectives || cell.layout.tensor > 1);
  }
  EXPECT_THAT(rounds, testing::ElementsAre(testing::Pair(1, 10), testing::Pair(2, 10),
                                           testing::Pair(3, 10)));
  for (std::size_t i = 2; i + 1 < cells.size(); ++i)  // a round after the other
    EXPECT_GE(cells[i].trial, cells[i - 1].kind == CellKind::kWarmUp ? 1 : cells[i - 1].trial);
}

TEST(Plan, OrderFollowsTheSeed) {
  const auto order = [](std::uint64_t seed) {
    PlanOptions with = options();
    with.seed = seed;
    std::vector<std::string> ids;
    for (const Cell& cell : plan_cells(with)) ids.push_back(cell.id());
    return ids;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
  auto one = order(1), two = order(2);
  std::ranges::sort(one), std::ranges::sort(two);
  EXPECT_EQ(one, two);
}

}  // namespace
}  // namespace retinue::study
