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

/// The 32B in bf16 on an H100, by its data sheet: configs/clusters/qwen3-vl-32b.json.
StepTimes h100() {
  const double read_s = 64e9 / 2900e9, row_s = 62.4e9 / 790e12;
  StepTimes times;
  times.knots = {{1, read_s}, {read_s / row_s, read_s}, {1000 * read_s / row_s, 1000 * read_s}};
  times.per_logit_row_s = 1.56e9 / 790e12, times.per_key_s = 1.05e6 / 790e12;
  times.per_kv_token_s = 262144 / 2900e9, times.per_patch_s = 1.42e9 / 600e12;
  return times;
}

// 42 of 43 sequences decode, each 127 times; meanwhile prompts of 1088 tokens follow at the rate at
// which they end, in three chunks each.
TEST(Simulation, EvenStepsCostWhatTheSameWorkInEqualStepsCosts) {
  const std::vector<SimulatedItem> items(
      2000, {.prompt_tokens = 1088, .visual_tokens = 1024, .patches = 4096, .new_tokens = 128});
  SimulatedJob one = job(items);
  one.times = h100();
  one.limits = {.max_batch_tokens = 2048, .max_sequences = 43, .encode_patches = 8192};
  const double filled_s = simulate(one).makespan_s;
  one.limits.even = {.ridge_rows = 256, .tile_rows = 128};
  const double even_s = simulate(one).makespan_s;
  const double ends = 42.0 / 127;
  const StepWork step{.rows = 42 + ends * 1088,
                      .logit_rows = 42 + ends,
                      .keys = 42 * (1088 + 64) + ends * 1088 * 1088 / 2,
                      .kv_tokens = 42 * (1088 + 64) + ends * 1088 * 2,
                      .patches = ends * 4096};
  EXPECT_NEAR(even_s / 2000, one.times.seconds(step) / ends, 0.03 * even_s / 2000);
  EXPECT_GT(filled_s, 1.2 * even_s);
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
