#include "parallel/device/graph.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

// On CPU. Recording is tested in tests/parallel/comm/nccl/nccl_communicator_test.cpp.
TEST(GraphCache, RunsTheWorkItselfEachTimeOnCpu) {
  GraphCache graphs(1);
  int runs = 0;
  for (int i = 0; i < 3; ++i) graphs.run(Stream{Device{}}, 7, [&] { ++runs; });
  EXPECT_EQ(runs, 3);
  EXPECT_EQ(graphs.recorded(), 0U);
  EXPECT_EQ(graphs.replayed(), 0U);
}

}  // namespace
}  // namespace retinue
