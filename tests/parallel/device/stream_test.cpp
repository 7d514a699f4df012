#include "parallel/device/stream.h"

#include <gtest/gtest.h>

#include <array>

namespace retinue {
namespace {

// On CPU. tests/parallel/comm/nccl and tests/layers/ops run the same calls on CUDA.
TEST(Stream, CopiesZeroesAndHasFinishedOnReturn) {
  const Stream stream{Device{}};
  const std::array<int, 6> from = {1, 2, 3, 4, 5, 6};
  std::array<int, 6> to{};
  stream.copy(to.data(), from.data(), sizeof(from));
  EXPECT_EQ(to, from);
  stream.zero(to.data() + 1, 2 * sizeof(int));
  EXPECT_EQ(to, (std::array{1, 0, 0, 4, 5, 6}));
  EXPECT_TRUE(stream.finished());
  EXPECT_EQ(stream.native(), nullptr);
}

TEST(Stream, CopiesRowsThatLieAPitchApart) {
  const Stream stream{Device{}};
  const std::array<int, 6> from = {1, 2, 3, 4, 5, 6};
  std::array<int, 6> to{};
  stream.copy_rows(to.data(), 2 * sizeof(int), from.data(), 3 * sizeof(int), 2 * sizeof(int), 2);
  EXPECT_EQ(to, (std::array{1, 2, 4, 5, 0, 0}));
}

TEST(Event, IsPassedWhenItWasNeverRecordedAndAtOnceOnCpu) {
  const Stream stream{Device{}};
  Event begin{Device{}}, end{Device{}};
  EXPECT_TRUE(begin.passed());
  begin.record(stream), end.record(stream);
  EXPECT_TRUE(end.passed());
  EXPECT_GE(end.seconds_since(begin), 0);
}

}  // namespace
}  // namespace retinue
