#include "parallel/comm/round_robin.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

namespace retinue {
namespace {

TEST(RoundRobin, EachRankMeetsEveryOtherOnceAndOneAtATime) {
  for (int ranks = 1; ranks <= 33; ++ranks) {
    std::set<std::pair<int, int>> met;
    for (int round = 0; round < round_robin_rounds(ranks); ++round)
      for (int rank = 0; rank < ranks; ++rank) {
        const int peer = round_robin_peer(rank, round, ranks);
        ASSERT_TRUE(peer >= 0 && peer < ranks);
        ASSERT_EQ(round_robin_peer(peer, round, ranks), rank) << ranks << " ranks, round " << round;
        if (peer > rank) {
          ASSERT_TRUE(met.insert({rank, peer}).second) << "again";
        }
      }
    EXPECT_EQ(met.size(), static_cast<std::size_t>(ranks * (ranks - 1) / 2)) << ranks;
  }
}

}  // namespace
}  // namespace retinue
