#include "runtime/engine/even_steps.h"

#include "runtime/engine/scheduler.h"

#include <gtest/gtest.h>

#include <numeric>

namespace retinue::runtime {
namespace {

constexpr EvenSteps kSteps{.ridge_rows = 200, .tile_rows = 64};

TEST(EvenSteps, AreDecodesAndAShareOfThePromptsInWholeTiles) {
  // 43 · 1088 / 128 rows of prompts, and 40: 405.
  EXPECT_EQ(kSteps.rows(40, 43, 43 * 1088, 43 * 128, 2048), 384);
}

TEST(EvenSteps, AreNotBelowTheRidge) {
  EXPECT_EQ(kSteps.rows(1, 2, 20, 200, 2048), 256) << "200 in whole tiles";
}

TEST(EvenSteps, StayWithinTheLimitAndHaveRoomForAllDecodes) {
  EXPECT_EQ(kSteps.rows(900, 900, 900 * 1088, 900 * 128, 2048), 2048);
  EXPECT_EQ(kSteps.rows(2, 2, 20, 200, 100), 100);
  EXPECT_EQ(kSteps.rows(331, 331, 0, 331 * 128, 2048), 331) << "five tiles are less";
}

TEST(EvenSteps, AreFullForASequenceAloneOrWithoutARidge) {
  EXPECT_EQ(kSteps.rows(0, 1, 1088, 128, 2048), 2048);
  EXPECT_EQ(kSteps.rows(0, 43, 43 * 1088, 43 * 128, 2048), 320) << "365 in whole tiles";
  EXPECT_EQ(EvenSteps{}.rows(40, 43, 43 * 1088, 43 * 128, 2048), 2048);
}

/// Rows of each step of a scheduler whose requests all have 64 tokens and give 8.
std::vector<std::int64_t> rows_of_steps(const EvenSteps& even) {
  EngineLimits limits;
  limits.max_batch_tokens = 1024, limits.max_sequences = limits.max_logit_rows = 16;
  limits.max_sequence_tokens = 72, limits.kv_blocks = 1000, limits.even = even;
  layers::ModelConfig config;
  config.image_token_id = 1000, config.video_token_id = 1001;
  Scheduler scheduler(config, limits, {.share = false}, 1);
  for (std::uint64_t i = 0; i < 400; ++i) {
    Request request;
    request.id = i, request.max_new_tokens = 8;
    request.ids.assign(64, static_cast<std::int32_t>(i));
    scheduler.add(request, 0);
  }
  StepPlan plan;
  PlanRows rows;
  std::vector<std::int64_t> sizes;
  while (scheduler.live() > 0) {
    scheduler.plan(plan, rows);
    sizes.push_back(static_cast<std::int64_t>(plan.ids.size()));
    for (const LogitRow& row : rows.argmax) {
      Sequence& sequence = *row.sequence;
      --sequence.awaited, sequence.completion.ids.push_back(1);
      if (sequence.completion.ids.size() == 8) scheduler.remove(&sequence);
    }
  }
  return sizes;
}

// 16 · 64 / 8 rows of prompts, and at most 16 of decodes.
TEST(EvenSteps, MakeTheStepsOfASchedulerAlike) {
  const std::vector<std::int64_t> even = rows_of_steps({.ridge_rows = 32, .tile_rows = 16});
  const std::vector<std::int64_t> filled = rows_of_steps({});
  ASSERT_GT(even.size(), 100U);
  // Neither the first steps, when few decode, nor the last, when nothing is left to begin.
  for (std::size_t step = 10; step + 20 < even.size(); ++step) {
    EXPECT_LE(even[step], 144) << step;
    EXPECT_GE(even[step], 112) << step;
  }
  EXPECT_EQ(std::accumulate(even.begin(), even.end(), std::int64_t{0}), 400 * (64 + 7));
  EXPECT_GT(*std::ranges::max_element(filled.begin() + 10, filled.end()), 500);
}

}  // namespace
}  // namespace retinue::runtime
