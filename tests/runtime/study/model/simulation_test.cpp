#include "runtime/study/model/simulation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

namespace retinue::study {
namespace {

/// A step takes a millisecond, whatever it does.
SimulatedJob job(std::span<const SimulatedItem> items) {
  SimulatedJob job;
  job.items = items;
  job.limits = {.max_batch_tokens = 64, .max_sequences = 4, .encode_patches = 64};
  job.times.knots = {{1, 1e-3}, {64, 1e-3}};
  return job;
}

TEST(Simulation, OneItemTakesItsPromptsChunksAndItsTokens) {
  const std::vector<SimulatedItem> items = {{.prompt_tokens = 100, .new_tokens = 10}};
  // 100 rows in chunks of 64 and 36, the second with the first token; nine more.
  const SimulatedRun run = simulate(job(items));
  EXPECT_EQ(run.steps, 2 + 9);
  EXPECT_NEAR(run.makespan_s, 11e-3, 1e-9);
  EXPECT_EQ(run.done_s.size(), 1U);
}

TEST(Simulation, SequencesShareStepsUpToTheLimit) {
  // Twenty waves of four; a few steps more while the work queue's first batches are small.
  const std::vector<SimulatedItem> items(80, {.prompt_tokens = 10, .new_tokens = 5});
  const SimulatedRun run = simulate(job(items));
  EXPECT_GE(run.steps, 100);
  EXPECT_LE(run.steps, 106);
}

TEST(Simulation, CacheBoundsHowManyRun) {
  const std::vector<SimulatedItem> items(4, {.prompt_tokens = 10, .new_tokens = 5});
  SimulatedJob one = job(items);
  one.limits.kv_tokens = 20;  // one at a time
  EXPECT_EQ(simulate(one).steps, 4 * 5);
}

TEST(Simulation, ImagesAreEncodedBeforeTheirPromptAndSharedByRanks) {
  const std::vector<SimulatedItem> items(
      64, {.prompt_tokens = 10, .visual_tokens = 4, .patches = 64, .new_tokens = 1});
  SimulatedJob one = job(items);
  one.times.per_patch_s = 1e-3;
  // One image a step on one rank; on two ranks two at once, except at the end.
  EXPECT_NEAR(simulate(one).makespan_s, 64 * (1e-3 + 64e-3), 1e-6);
  one.tensor = 2;
  EXPECT_NEAR(simulate(one).makespan_s, 32 * (1e-3 + 64e-3), 8 * 65e-3);
}

TEST(Simulation, SlowDecodingStarvesTheEngine) {
  const std::vector<SimulatedItem> items(10, {.prompt_tokens = 10, .patches = 8, .new_tokens = 1});
  SimulatedJob fed = job(items);
  fed.feed = {.seconds = 50e-3, .threads = 1};
  const SimulatedRun run = simulate(fed);
  EXPECT_NEAR(run.makespan_s, 0.5, 0.01);
  EXPECT_GT(run.starved_s, 0.45);
}

TEST(Simulation, ReplicasShareTheWorkAndASlowOneGetsLess) {
  const std::vector<SimulatedItem> items(400, {.prompt_tokens = 20, .new_tokens = 20});
  SimulatedJob one = job(items);
  const double alone = simulate(one).makespan_s;
  one.data = 2;
  const double both = simulate(one).makespan_s;
  EXPECT_NEAR(both, alone / 2, 0.05 * alone);
  one.slowness = {1, 3};
  const double uneven = simulate(one).makespan_s;
  EXPECT_NEAR(uneven, alone * 3 / 4, 0.06 * alone);
}

TEST(Simulation, EveryItemEndsOnceInAnyLayout) {
  std::vector<SimulatedItem> items;
  for (std::int64_t i = 0; i < 500; ++i)
    items.push_back({.prompt_tokens = 1 + i * 37 % 150,
                     .visual_tokens = i % 30,
                     .patches = 4 * (i % 30),
                     .new_tokens = 1 + i * 13 % 40});
  for (const int data : {1, 2, 7}) {
    SimulatedJob one = job(items);
    one.data = data, one.limits.feature_rows = 40, one.limits.encode_patches = 120;
    one.limits.kv_tokens = 400, one.reused_tokens = 8, one.feed.seconds = 1e-3;
    const SimulatedRun run = simulate(one);
    EXPECT_EQ(run.done_s.size(), items.size()) << data;
    EXPECT_DOUBLE_EQ(run.done_s.back(), run.makespan_s);
  }
}

}  // namespace
}  // namespace retinue::study
