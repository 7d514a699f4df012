// A request whose numbers are not finite fails alone, and leaves nothing behind.
#include "tests/support/engine_runs.h"
#include "tests/support/engine_tasks.h"
#include "tests/support/tiny_model.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>

namespace retinue::runtime {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr std::int32_t kBadId = 499;  ///< of the text; others stay below 400
constexpr std::uint8_t kBadByte = 255;
constexpr test::TaskShape kShape{.prefix_tokens = 70,
                                 .prefixes = 2,
                                 .text_tokens = 30,
                                 .images = 1,
                                 .distinct_images = 3,
                                 .image_side = 6,
                                 .new_tokens = 12};
constexpr std::size_t kTasks = 31, kBad = 12;

struct Poison {
  std::string name;
  float value;
  bool in_pixels = false;  ///< else in the embedding of kBadId
  bool whole = true;       ///< whole rows of logits go to the leader, else the largest alone
  bool preempted = false;  ///< preempted before its logits are seen
  int ranks = 1;

  friend std::ostream& operator<<(std::ostream& out, const Poison& poison) {
    return out << poison.name;
  }
};

std::int64_t not_finite(ConstTensorView view) {
  std::int64_t count = 0;
  const std::int64_t numbers = view.shape().numel();
  for (std::int64_t i = 0; i < numbers; ++i)
    count += std::isfinite(view.dtype() == DType::kF32 ? view.data<float>()[i]
                                                       : to_float(view.data<BFloat16>()[i]))
                 ? 0
                 : 1;
  return count;
}

class EngineGuardBase : public testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < kTasks; ++i)
      tasks_.push_back(test::random_task(model_.config, 3, static_cast<std::int64_t>(i), kShape));
  }

  /// Puts the poison into a task, behind blocks that it shares with others.
  void inject(test::EngineTask& task, const Poison& poison) {
    Request& request = task.request;
    if (poison.in_pixels) {
      request.ids.push_back(static_cast<std::int32_t>(model_.config.vision_start_token_id));
      request.ids.push_back(static_cast<std::int32_t>(model_.config.image_token_id));
      request.ids.push_back(static_cast<std::int32_t>(model_.config.vision_end_token_id));
      const std::int64_t merge = model_.config.vision.spatial_merge_size;
      const layers::GridThw grid{1, merge, merge};
      request.images.push_back({.key = 0, .grid = grid, .content = {99, 99}});
      task.pixels.push_back(
          {std::vector<std::uint8_t>(
               static_cast<std::size_t>(grid.patches() * model_.config.vision.patch_width()),
               kBadByte),
           grid});
    } else {
      request.ids.push_back(kBadId);
    }
    // Then text, so that whole blocks come after it.
    for (int i = 0; i < 60; ++i) request.ids.push_back(i);
    request.hash_logits = poison.whole;
    if (!poison.whole) request.sampling = {};
  }

  test::EngineModel model_ = test::golden_engine_model("gqa8-tied", DType::kBF16);
  std::vector<test::EngineTask> tasks_;
};

class EngineGuard : public EngineGuardBase, public testing::WithParamInterface<Poison> {};

TEST_P(EngineGuard, ARequestThatIsNotFiniteFailsAloneAndLeavesNothing) {
  const Poison& poison = GetParam();
  if (poison.in_pixels) {
    for (int i = 0; i < 768; ++i)
      model_.pixel_values.push_back(
          i % 256 == kBadByte ? poison.value : (static_cast<float>(i % 256) - 127.5F) / 127.5F);
  } else {
    model_ = test::poisoned(model_, {kBadId}, poison.value);
  }
  EngineSizing most = test::sizing_for(kShape);
  most.max_batch_tokens = 48, most.max_sequences = 6, most.kv_block_tokens = 16;
  most.max_text_tokens += 80, most.max_items = 2;
  test::EngineRanks ranks(model_, poison.ranks, most);
  test::EngineConditions how{.limits = ranks.limits(), .options = {.check_accounts = true}};

  // Without it.
  std::vector<std::string> wanted;
  for (const Completion& c : ranks.run(tasks_, how).completions) wanted.push_back(c.logits_sha256);

  // With it; few blocks, so that others soon get those that it had.
  std::vector<test::EngineTask> tasks = tasks_;
  const test::EngineTask model_task = tasks[kBad];
  inject(tasks[kBad], poison);
  for (std::size_t i = 0; i < tasks.size(); ++i)
    tasks[i].submit_at = static_cast<std::int64_t>(i) / 2;
  // Afterwards: one whose prompt begins like the bad one's up to what is bad, and one that is bad
  // in the same way again.
  tasks.push_back(model_task);
  tasks.push_back(tasks[kBad]);
  tasks[kTasks].submit_at = tasks[kTasks + 1].submit_at = 150;
  how.limits.kv_blocks =
      2 * (static_cast<std::int64_t>(tasks[kBad].request.ids.size()) + kShape.new_tokens) / 16 + 1;
  if (poison.preempted) how.options.preempt_every = 2;
  const test::EngineOutcome outcome = ranks.run(tasks, how);

  for (const std::size_t bad : {kBad, kTasks + 1}) {
    ASSERT_TRUE(outcome.completions[bad].error) << "request " << bad;
    EXPECT_EQ(outcome.completions[bad].error->stage, "decode");
    EXPECT_THAT(outcome.completions[bad].error->message,
                testing::StartsWith("the logits are not finite. Where all items fail so, weights"));
    EXPECT_TRUE(outcome.completions[bad].ids.empty());
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    if (i == kBad || i == kTasks + 1) continue;
    const Completion& got = outcome.completions[i];
    ASSERT_FALSE(got.error) << "request " << i << ": " << got.error->message;
    EXPECT_EQ(got.logits_sha256, wanted[i == kTasks ? kBad : i]) << "request " << i;
  }
  EXPECT_GT(outcome.stats.scheduler.reused_tokens, 0);
  if (poison.preempted) {
    EXPECT_GT(outcome.stats.scheduler.preempted, 0);
  }
  // Free feature rows may hold anything, since an image writes all its rows before one is read. A
  // block is read while parts of it are still unwritten.
  for (int r = 0; r < poison.ranks; ++r)
    EXPECT_EQ(not_finite(ranks.model(r).kv()), 0) << "in the blocks of rank " << r;
}

using EngineGuardCancelled = EngineGuardBase;

TEST_F(EngineGuardCancelled, ARequestCancelledBeforeItsPoisonIsSeenLeavesNothing) {
  model_ = test::poisoned(model_, {kBadId}, kNan);
  EngineSizing most = test::sizing_for(kShape);
  most.max_batch_tokens = 48, most.max_sequences = 2, most.kv_block_tokens = 16;
  most.max_text_tokens += 200;
  test::EngineRanks ranks(model_, 1, most);
  test::EngineTask bad{.request = {}, .pixels = {}};
  bad.request.ids.assign(180, kBadId);
  bad.request.max_new_tokens = 1;
  for (const std::int64_t steps : {1, 2, 3}) {
    // The next step zeroes its blocks.
    std::vector<test::EngineTask> tasks = {bad, tasks_[0]};
    tasks[1].submit_at = steps;
    const auto outcome =
        ranks.run(tasks, {.limits = ranks.limits(), .options = {}, .cancel_at = steps});
    EXPECT_EQ(outcome.completions[0].error.value_or(DataError{}).stage, "cancelled");
    EXPECT_FALSE(outcome.completions[1].error);
    EXPECT_EQ(not_finite(ranks.model(0).kv()), 0) << "after " << steps << " steps";
  }
}

INSTANTIATE_TEST_SUITE_P(
    , EngineGuard,
    testing::Values(
        Poison{"nan_in_the_embedding", kNan}, Poison{"infinity_in_the_embedding", kInfinity},
        Poison{.name = "nan_in_pixels", .value = kNan, .in_pixels = true},
        Poison{.name = "infinity_in_pixels", .value = kInfinity, .in_pixels = true},
        Poison{.name = "nan_seen_in_the_largest", .value = kNan, .whole = false},
        Poison{.name = "nan_sent_back", .value = kNan, .preempted = true},
        Poison{
            .name = "nan_in_pixels_sent_back", .value = kNan, .in_pixels = true, .preempted = true},
        Poison{.name = "nan_in_the_embedding_on_4_ranks", .value = kNan, .ranks = 4},
        Poison{.name = "nan_in_pixels_on_2_ranks", .value = kNan, .in_pixels = true, .ranks = 2}),
    [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace retinue::runtime
