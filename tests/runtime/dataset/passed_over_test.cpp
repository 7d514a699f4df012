#include "runtime/dataset/passed_over.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;

TEST(PassedOver, KindsAreCountedAndSortedByReason) {
  PassedOverCounts counts;
  counts.add(".tar", "lies in a folder");
  counts.add("key \"b\"", "is not read");
  counts.add(".tar", "lies in a folder");
  counts.add("key \"a\"", "is not read");
  EXPECT_THAT(counts.list(), ElementsAre(PassedOver{"key \"a\"", "is not read", 1},
                                         PassedOver{"key \"b\"", "is not read", 1},
                                         PassedOver{".tar", "lies in a folder", 2}));
}

TEST(PassedOver, KindsPastTheBoundAreCountedTogether) {
  PassedOverCounts counts;
  for (std::size_t i = 0; i < PassedOverCounts::kMostKinds + 7; ++i)
    counts.add(fmt::format("key \"{:05}\"", i), "is not read");
  counts.add("key \"00000\"", "is not read");
  const auto kinds = counts.list();
  ASSERT_EQ(kinds.size(), PassedOverCounts::kMostKinds + 1);
  EXPECT_EQ(kinds.front().count, 2U);
  EXPECT_EQ(kinds.back().count, 7U);
}

}  // namespace
}  // namespace retinue::runtime
