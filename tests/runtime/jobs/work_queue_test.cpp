// Every item is claimed once, the costly ones first, and replicas of unlike speeds end together.
#include "runtime/jobs/work_queue.h"

#include "parallel/base/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace retinue::runtime {
namespace {

using testing::Each;

std::vector<std::int64_t> items_of(const ItemBatch& batch) {
  return {batch.items.begin(), batch.items.begin() + batch.count};
}

TEST(WorkQueue, GivesEveryOpenItemOnceAndSaysWhatIsLeft) {
  for (const std::size_t count : {0U, 1U, 63U, 64U, 65U, 1000U, 5000U})
    for (const int replicas : {1, 2, 7}) {
      std::vector<std::uint8_t> open(count);
      for (std::size_t i = 0; i < count; ++i) open[i] = random_bits(1, i) % 3 != 0 ? 1 : 0;
      const std::set<std::int64_t> taken = {3, 64, 999};
      WorkQueue work_queue(
          open, taken,
          [](std::size_t i) { return static_cast<std::uint32_t>(random_bits(2, i) % 5000); },
          replicas);
      std::vector<std::int64_t> given(count, 0);
      std::int64_t all = work_queue.left();
      for (ItemBatch batch; work_queue.left() > 0; all -= batch.count) {
        EXPECT_EQ(work_queue.left(), all);
        batch = work_queue.next(
            1 + static_cast<std::int64_t>(random_bits(3, static_cast<std::uint64_t>(all)) % 80));
        ASSERT_GT(batch.count, 0);
        EXPECT_EQ(batch.left, all - batch.count);
        for (const std::int64_t item : items_of(batch)) ++given[static_cast<std::size_t>(item)];
      }
      EXPECT_EQ(work_queue.next(5).count, 0);
      EXPECT_EQ(work_queue.next(5).left, 0);
      for (std::size_t i = 0; i < count; ++i)
        EXPECT_EQ(given[i], open[i] != 0 && !taken.contains(static_cast<std::int64_t>(i)) ? 1 : 0);
    }
}

TEST(WorkQueue, TakesTheRunOfTheCostliestItemFirstAndKeepsNeighboursTogether) {
  const std::vector<std::uint8_t> open(6400, 1);
  const std::set<std::int64_t> none;
  WorkQueue work_queue(
      open, none, [](std::size_t i) { return i == 5000 ? 100000U : 1000U + i % 7; }, 2);
  EXPECT_EQ(work_queue.next(64).items[0], 5000 / 64 * 64);
  std::int64_t before = -1;
  while (work_queue.left() > 6400 / 2)
    for (const std::int64_t item : items_of(work_queue.next(64))) {
      if (item / 64 == 5000 / 64) continue;
      EXPECT_EQ(item, before + 1);
      before = item;
    }
}

TEST(WorkQueue, ItsBatchesShrinkToSingleItems) {
  const std::vector<std::uint8_t> open(1000, 1);
  const std::set<std::int64_t> none;
  WorkQueue work_queue(
      open, none, [](std::size_t) { return 1000U; }, 4);
  std::vector<std::int64_t> sizes;
  while (work_queue.left() > 0) sizes.push_back(work_queue.next(64).count);
  EXPECT_TRUE(std::ranges::is_sorted(sizes, std::greater<>{}));
  EXPECT_EQ(sizes.front(), 62) << "1000 over 16 batches";
  EXPECT_THAT(std::vector<std::int64_t>(sizes.end() - 16, sizes.end()), Each(1));
}

/// Replicas that claim as leaders do, each at its speed: items at hand wait in a queue, and up to
/// max_sequences of it run at once, each as long as its cost. Returns the time when each has ended.
std::vector<double> simulate(const std::vector<std::uint32_t>& costs,
                             const std::vector<double>& speeds, std::int64_t max_sequences) {
  const std::vector<std::uint8_t> open(costs.size(), 1);
  const std::set<std::int64_t> none;
  const auto replicas = static_cast<int>(speeds.size());
  WorkQueue work_queue(
      open, none, [&](std::size_t i) { return costs[i]; }, replicas);
  struct Replica {
    std::vector<std::int64_t> waiting;
    std::vector<double> running;  ///< when each ends
    std::int64_t left = 1;
    double time = 0;
  };
  std::vector<Replica> all(speeds.size());
  while (true) {
    // The replica that is due first claims, starts what it can, and goes on to its next end.
    Replica* next = nullptr;
    for (Replica& replica : all)
      if ((replica.left > 0 || !replica.waiting.empty() || !replica.running.empty()) &&
          (next == nullptr || replica.time < next->time))
        next = &replica;
    if (next == nullptr) break;
    const double speed = speeds[static_cast<std::size_t>(next - all.data())];
    std::erase_if(next->running, [&](double end) { return end <= next->time; });
    const auto hand = static_cast<std::int64_t>(next->waiting.size() + next->running.size());
    const std::int64_t wanted = items_at_hand(next->left, replicas, max_sequences) - hand;
    if (next->left > 0 && wanted > 0) {
      const ItemBatch batch = work_queue.next(wanted);
      next->left = batch.left;
      for (const std::int64_t item : items_of(batch)) next->waiting.push_back(item);
    }
    while (!next->waiting.empty() &&
           next->running.size() < static_cast<std::size_t>(max_sequences)) {
      next->running.push_back(next->time +
                              costs[static_cast<std::size_t>(next->waiting.front())] / speed);
      next->waiting.erase(next->waiting.begin());
    }
    if (next->running.empty()) continue;
    next->time = *std::ranges::min_element(next->running);
  }
  std::vector<double> ends;
  for (const Replica& replica : all) ends.push_back(replica.time);
  return ends;
}

TEST(WorkQueue, ReplicasOfUnlikeSpeedsEndWithinOneItemOfEachOther) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    std::vector<std::uint32_t> costs(300 + random_bits(seed, 1) % 3000);
    for (std::size_t i = 0; i < costs.size(); ++i)
      costs[i] = static_cast<std::uint32_t>(500 + random_bits(seed, i + 10) % 1000);
    std::vector<double> speeds;
    for (std::uint64_t i = 0; i < 2 + random_bits(seed, 2) % 6; ++i)
      speeds.push_back(0.25 + static_cast<double>(random_bits(seed, 3 + i) % 100) / 100);
    const std::vector<double> ends = simulate(costs, speeds, 8);
    const double longest = 1500 / *std::ranges::min_element(speeds);
    EXPECT_LE(std::ranges::max(ends) - std::ranges::min(ends), longest) << "seed " << seed;
  }
}

}  // namespace
}  // namespace retinue::runtime
