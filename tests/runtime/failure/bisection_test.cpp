#include "runtime/failure/bisection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Bisection, IsEmptyWithoutCrashes) {
  const Bisection bisection = plan_bisection({}, {}, 0, 1);
  EXPECT_THAT(bisection.items, IsEmpty());
  EXPECT_THAT(bisection.stops, IsEmpty());
}

TEST(Bisection, RunsAttributedItemsAloneThenHalvesOfTheSuspects) {
  const Bisection bisection = plan_bisection({8, 3}, {0, 2, 4, 6, 9}, 0, 1);
  EXPECT_THAT(bisection.items, ElementsAre(3, 8, 0, 2, 4, 6, 9));
  EXPECT_THAT(bisection.stops, ElementsAre(1, 2, 4, 6, 7));
}

TEST(Bisection, IsSharedByAllReplicas) {
  const Bisection first = plan_bisection({5}, {1, 2, 3, 4}, 0, 2);
  EXPECT_THAT(first.items, ElementsAre(5, 1, 3));
  EXPECT_THAT(first.stops, ElementsAre(1, 3));
  const Bisection second = plan_bisection({5}, {1, 2, 3, 4}, 1, 2);
  EXPECT_THAT(second.items, ElementsAre(2, 4));
  EXPECT_THAT(second.stops, ElementsAre(2));
}

}  // namespace
}  // namespace retinue::runtime
