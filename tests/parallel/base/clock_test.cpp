#include "parallel/base/clock.h"

#include "parallel/base/cpu_time.h"

#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(Clocks, NeverGoBack) {
  const SteadyClock clock;
  const double before = clock.now_s(), cpu_before = thread_cpu_s();
  EXPECT_GE(clock.now_s(), before);
  EXPECT_GE(thread_cpu_s(), cpu_before);
}

TEST(Clocks, AFakeOneMovesByAdvanceAlone) {
  FakeClock clock;
  EXPECT_EQ(clock.now_s(), 0);
  clock.advance(1.5);
  EXPECT_EQ(clock.now_s(), 1.5);
  EXPECT_EQ(clock.now_s(), 1.5);
}

}  // namespace
}  // namespace retinue
