#include "parallel/base/statistics.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(Median, IsTheMiddleValueOrTheMeanOfTheTwo) {
  EXPECT_EQ(median({7}), 7);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(median({1, 1, 100}), 1);
  EXPECT_EQ(median({}), 0);
}

TEST(Median, UpperOneIsAlwaysAValueThatIsThere) {
  EXPECT_EQ(upper_median({7}), 7);
  EXPECT_EQ(upper_median({3, 1, 2}), 2);
  EXPECT_EQ(upper_median({4, 1, 2, 3}), 3);
  EXPECT_EQ(upper_median({}), 0);
}

}  // namespace
}  // namespace retinue
