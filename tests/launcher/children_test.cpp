#include "launcher/children.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace retinue::launcher {
namespace {

constexpr pid_t kRank0 = 20, kRank1 = 21, kRank2 = 22, kOther = 30;

std::map<pid_t, std::string> three_ranks() { return {{kRank0, "0"}, {kRank1, "1"}, {kRank2, "2"}}; }

/// What is named after looks at such children.
std::string first(std::map<pid_t, std::string> ranks,
                  const std::vector<std::vector<Child>>& looks) {
  FirstToEnd first([&](pid_t process) { return ranks[process]; });
  for (const std::vector<Child>& children : looks) first.look(children);
  return first.text();
}

TEST(FirstToEnd, IsTheRankThatIsDeadOrGoneBeforeTheOthers) {
  EXPECT_EQ(first(three_ranks(), {{{kRank0}, {kRank1}, {kRank2}},
                                  {{kRank0}, {kRank1, true}, {kRank2}},
                                  {{kRank0, true}, {kRank2, true}}}),
            "rank 1 (process 21)");
  EXPECT_EQ(first(three_ranks(), {{{kRank0}, {kRank1}}, {{kRank0}}, {}}), "rank 1 (process 21)");
}

TEST(FirstToEnd, IsNotNamedWhereSeveralEndBetweenTwoLooks) {
  EXPECT_EQ(first(three_ranks(), {{{kRank0}, {kRank1}, {kRank2}}, {{kRank0}}}), "");
  EXPECT_EQ(first(three_ranks(), {{{kRank0}, {kRank1}}}), "");
}

TEST(FirstToEnd, IsNotNamedWhereOthersMayHaveEndedOnAnotherMachine) {
  EXPECT_EQ(first(three_ranks(), {{{kOther}, {kRank0}, {kRank1}}, {{kOther}, {kRank0}}}), "");
  // Also when the child that reaches the other machine has ended.
  EXPECT_EQ(first(three_ranks(), {{{kOther}, {kRank0}, {kRank1}},
                                  {{kOther}, {kRank0}},
                                  {{kOther, true}, {kRank0}},
                                  {{kRank0}}}),
            "");
}

TEST(FirstToEnd, TakesAChildForARankOnceItsProgramHasStarted) {
  std::map<pid_t, std::string> ranks = {{kRank0, "0"}};
  FirstToEnd first([&](pid_t process) { return ranks[process]; });
  first.look({{kRank0}, {kRank1}});
  ranks[kRank1] = "1";
  first.look({{kRank0}, {kRank1}});
  first.look({{kRank1}});
  EXPECT_EQ(first.text(), "rank 0 (process 20)");
}

}  // namespace
}  // namespace retinue::launcher
