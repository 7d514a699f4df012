#include "runtime/study/model/least_squares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace retinue::study {
namespace {

TEST(LeastSquares, StaysAtZeroWhereTheBestWouldBeNegative) {
  // y = 2 a - b: b may not be negative, so that a alone has to do.
  const std::vector<std::vector<double>> rows = {{1, 0}, {1, 1}, {2, 1}};
  const auto c =
      nonnegative_least_squares(rows, std::array{2.0, 1.0, 3.0}, std::array{1.0, 1.0, 1.0});
  EXPECT_EQ(c[1], 0);
  EXPECT_NEAR(c[0], 9.0 / 6, 1e-9);
}

}  // namespace
}  // namespace retinue::study
