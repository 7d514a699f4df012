#include "runtime/doctor/clock_skew.h"

#include "parallel/comm/local/local_communicator.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace retinue::runtime {
namespace {

/// A clock that is ahead of the right one.
class OffsetClock final : public Clock {
 public:
  explicit OffsetClock(double ahead_s) : ahead_s_(ahead_s) {}
  [[nodiscard]] double now_s() const override { return WallClock().now_s() + ahead_s_; }

 private:
  double ahead_s_;
};

TEST(CompareClocks, FindsHowFarEachIsAheadWithinItsBound) {
  const std::vector<double> ahead = {5, 0, -3.5, 1000};
  auto group = make_local_group(4, "world", 30);
  std::vector<ClockFacts> facts;
  {
    std::vector<std::jthread> threads;
    for (auto& rank : group)
      threads.emplace_back([&] {
        const OffsetClock wall(ahead[static_cast<std::size_t>(rank->rank())]);
        const auto seen = compare_clocks(*rank, wall);
        if (rank->rank() == 0)
          facts = seen;
        else
          EXPECT_TRUE(seen.empty());
      });
  }
  ASSERT_EQ(facts.size(), 4U);
  for (std::size_t rank = 0; rank < 4; ++rank) {
    EXPECT_EQ(facts[rank].rank, static_cast<int>(rank));
    // Seconds since 1970 in a double: a quarter of a microsecond.
    EXPECT_NEAR(facts[rank].ahead_s, ahead[rank] - ahead[0], facts[rank].bound_s + 1e-6);
  }
}

TEST(CompareClocks, AWorldOfOneIsRightByDefinition) {
  const auto single = make_single();
  const auto facts = compare_clocks(*single, OffsetClock(7));
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_EQ(facts[0].ahead_s, 0);
}

}  // namespace
}  // namespace retinue::runtime
