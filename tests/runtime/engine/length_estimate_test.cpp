#include "runtime/engine/length_estimate.h"

#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

TEST(LengthEstimate, IsThe95thPercentileOfTheLastOutputs) {
  LengthEstimate lengths;
  for (int i = 0; i < 15; ++i) lengths.add(10);
  EXPECT_EQ(lengths.tokens(256), 256) << "too few for an estimate";
  lengths.add(10);
  EXPECT_EQ(lengths.tokens(256), 10);
  for (int i = 0; i < 256; ++i) lengths.add(i % 100 + 1);
  EXPECT_NEAR(static_cast<double>(lengths.tokens(256)), 95, 3);
}

}  // namespace
}  // namespace retinue::runtime
