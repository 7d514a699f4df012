#include "parallel/comm/mpi/watch.h"

#include "parallel/comm/local/local_communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

namespace retinue {
namespace {

constexpr Watch::Options kQuick{.poll_s = 0.005, .hold_s = 0.1, .leave_s = 0.3, .silence_s = 0};

struct Seen {
  std::vector<RankFailure> failures;  ///< arguments of on_failure; at most one
  std::atomic<int> overdue = -1;
  int exit_code = -1;
};

/// Runs `body(watch, rank)` on threads, each with a watch, and returns what each rank received.
std::vector<Seen> watched(int size, const Watch::Options& options,
                          const std::function<void(Watch&, int, Seen&)>& body) {
  auto ranks = make_local_group(size, "watch", 30);
  std::vector<Seen> seen(static_cast<std::size_t>(size));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      Seen& own = seen[static_cast<std::size_t>(rank)];
      Watch watch(std::move(ranks[static_cast<std::size_t>(rank)]), "node" + std::to_string(rank),
                  options,
                  {.on_failure = [&](const RankFailure& first) { own.failures.push_back(first); },
                   .on_overdue = [&](int exit_code) { own.overdue = exit_code; }});
      body(watch, rank, own);
    });
  threads.clear();
  return seen;
}

void sleep_s(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

TEST(Watch, RanksThatEndInOrderLeaveTogetherWithTheWorstCode) {
  const auto seen = watched(4, kQuick, [](Watch& watch, int rank, Seen& own) {
    sleep_s(0.05 * rank);
    own.exit_code = watch.finish(rank == 2 ? 3 : 0);
  });
  for (const Seen& rank : seen) {
    EXPECT_EQ(rank.exit_code, 3);
    EXPECT_TRUE(rank.failures.empty());
  }
}

TEST(Watch, TheFirstFailureReachesAllRanksEvenWhenALaterOneIsReportedFirst) {
  const auto seen = watched(3, kQuick, [](Watch& watch, int rank, Seen& own) {
    if (rank == 2) watch.fail(75, "the disk is full");
    if (rank == 0) {
      sleep_s(0.03);
      watch.fail(1, "came later");
    }
    sleep_s(0.3);  // busy, as a rank may be
    own.exit_code = watch.finish(0);
  });
  for (const Seen& rank : seen) {
    ASSERT_EQ(rank.failures.size(), 1);
    EXPECT_EQ(rank.failures[0].rank, 2);
    EXPECT_EQ(rank.failures[0].host, "node2");
    EXPECT_EQ(rank.failures[0].exit_code, 75);
    EXPECT_EQ(rank.failures[0].message, "the disk is full");
    EXPECT_EQ(rank.exit_code, 1);  // the worst of both
    EXPECT_EQ(rank.overdue, -1);
  }
}

TEST(Watch, ARankTooBusyToLeaveIsOverdueAndHoldsUpNoOther) {
  const auto seen = watched(2, kQuick, [](Watch& watch, int rank, Seen& own) {
    if (rank == 0) {
      watch.fail(2, "no such folder");
      own.exit_code = watch.finish(2);  // returns although the other rank never finishes by itself
    } else {
      for (int i = 0; own.overdue == -1 && i < 6000; ++i) sleep_s(0.01);
      EXPECT_NE(own.overdue, -1) << "not overdue within a minute";
      own.exit_code = watch.finish(0);
    }
  });
  EXPECT_EQ(seen[0].exit_code, 2);
  EXPECT_EQ(seen[0].overdue, -1);
  EXPECT_EQ(seen[1].overdue, 2);
  EXPECT_EQ(seen[1].exit_code, 2);
}

TEST(Watch, ASilentNeighbourHasFailed) {
  Watch::Options options = kQuick;
  options.silence_s = 1.6;
  auto ranks = make_local_group(2, "watch", 30);  // rank 1 exists and is silent
  std::vector<RankFailure> failures;
  Watch watch(std::move(ranks[0]), "node0", options,
              {.on_failure = [&](const RankFailure& first) { failures.push_back(first); },
               .on_overdue = [](int) {}});
  EXPECT_EQ(watch.finish(0), 75);
  ASSERT_EQ(failures.size(), 1);
  EXPECT_EQ(failures[0].rank, 1);
  EXPECT_EQ(failures[0].message,
            "[watch] silent for 1.6 s: the process hangs or its host is lost. Reported by rank "
            "0 (node0).");
}

TEST(Watch, AWorldOfOneEndsAtOnce) {
  World world;
  ASSERT_EQ(world.size(), 1);
  EXPECT_EQ(run_ranks(world, [] { return 4; }), 4);
  std::string message;
  EXPECT_EQ(run_ranks(
                world, []() -> int { throw UsageError("[x] no such flag"); },
                [&](const RankFailure& first) { message = first.message; }),
            2);
  EXPECT_EQ(message, "[x] no such flag");
}

}  // namespace
}  // namespace retinue
