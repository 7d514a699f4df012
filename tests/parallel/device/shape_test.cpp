#include "parallel/device/shape.h"

#include <gtest/gtest.h>

#include <vector>

namespace retinue {
namespace {

TEST(Shape, CountsAndPrints) {
  EXPECT_EQ(Shape({7, 5120}).to_string(), "[7, 5120]");
  EXPECT_EQ(Shape({2, 3, 4}).numel(), 24);
  EXPECT_EQ(Shape({3, 0}).numel(), 0);
  EXPECT_EQ(Shape({2, 3}).with(1, 9), Shape({2, 9}));
  EXPECT_EQ((Shape{2, 3, 4}[-2]), 3);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1}), BugError);
  EXPECT_THROW((Shape{-1}), BugError);
  EXPECT_THROW((void)(Shape{1}[1]), BugError);
}

TEST(Shape, IsMadeOfAListKnownAtRunTime) {
  EXPECT_EQ(Shape(std::vector<std::int64_t>{2, 3}), Shape({2, 3}));
  EXPECT_EQ(Shape(std::vector<std::int64_t>{}).numel(), 1);
  EXPECT_THROW(Shape(std::vector<std::int64_t>(6, 1)), BugError);
}

}  // namespace
}  // namespace retinue
