// The same requests under random schedules: each has the logits that it has alone, whatever the
// limits, the order of arrival, the blocks and pixels at hand and the number of ranks.
#include "tests/support/engine_runs.h"
#include "tests/support/engine_tasks.h"
#include "tests/support/tiny_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <ostream>

namespace retinue::runtime {
namespace {

using test::Random;

constexpr std::int64_t kTasks = 10;
constexpr std::uint64_t kSchedulesPerShard = 16;
/// A prefix that fills the largest block, so that there is something to share with any; behind it
/// images that differ in nothing but their pixels.
constexpr test::TaskShape kShape{.prefix_tokens = 135,
                                 .prefixes = 1,
                                 .text_tokens = 40,
                                 .images = 2,
                                 .distinct_images = 2,
                                 .image_side = 8,
                                 .new_tokens = 20};

struct Shard {
  std::string model;
  layers::Computation computation;
  std::uint64_t first_seed;

  friend std::ostream& operator<<(std::ostream& out, const Shard& shard) {
    return out << shard.model << " from seed " << shard.first_seed;
  }
};

test::EngineModel load(const Shard& shard) {
  test::EngineModel model = shard.model == "captioner"
                                ? test::captioner_engine_model()
                                : test::golden_engine_model(shard.model, shard.computation.dtype);
  model.computation = shard.computation;
  return model;
}

/// One way to run the tasks, from a seed.
struct Schedule {
  int ranks = 1;
  std::int64_t block_tokens = 32;
  test::EngineConditions how;
  std::vector<std::int64_t> submit_at;
  /// More requests are admitted than there are blocks for, so that some are preempted.
  bool expect_little = false;

  [[nodiscard]] std::string text() const {
    const EngineLimits& l = how.limits;
    return fmt::format(
        "{} ranks, {} batch tokens, {} sequences, {} blocks of {}, {} feature rows, share {}, "
        "longest first {}, preempt every {}, pixels after {}, the last request after {} steps",
        ranks, l.max_batch_tokens, l.max_sequences, l.kv_blocks, block_tokens, l.feature_rows,
        how.options.share, how.options.longest_first, how.options.preempt_every, how.pixel_delay,
        *std::ranges::max_element(submit_at));
  }
};

class EngineInvariance : public testing::TestWithParam<Shard> {
 protected:
  void SetUp() override {
    for (std::int64_t i = 0; i < kTasks; ++i)
      tasks_.push_back(test::random_task(model_.config, 5, i, kShape));
    for (const test::EngineTask& task : tasks_) {
      const Request& request = task.request;
      const auto prompt = static_cast<std::int64_t>(request.ids.size());
      longest_prompt_ = std::max(longest_prompt_, prompt);
      longest_ = std::max(longest_, prompt + request.max_new_tokens);
      std::int64_t rows = 0;
      for (const RequestImage& image : request.images)
        rows += image.grid.patches() / model_.config.vision.merge_unit();
      most_visual_ = std::max(most_visual_, rows);
    }
  }

  test::EngineRanks& ranks(int ranks, std::int64_t block_tokens) {
    auto& found = ranks_[{ranks, block_tokens}];
    if (found == nullptr) {
      EngineSizing most = test::sizing_for(kShape);
      most.max_batch_tokens = 256, most.max_sequences = 12, most.kv_block_tokens = block_tokens;
      found = std::make_unique<test::EngineRanks>(model_, ranks, most);
    }
    return *found;
  }

  Schedule schedule(std::uint64_t seed) {
    Random random(seed);
    Schedule s;
    // In turns, so that a shard has every pair of them.
    s.ranks = std::min(std::array{1, 2, 4, 1}[seed % 4], GetParam().computation.most_leaves);
    s.block_tokens = std::array{16, 32, 64, 128}[seed / 4 % 4];
    EngineLimits& limits = s.how.limits;
    limits = ranks(s.ranks, s.block_tokens).limits();
    const bool preempt = seed % 2 == 0;
    limits.max_sequences = limits.max_logit_rows = random.in(preempt ? 2 : 1, 12);
    limits.max_batch_tokens =
        std::max(limits.max_sequences, random.one_in(3) ? 256 : random.in(5, 90));
    const std::int64_t one = (longest_ + s.block_tokens - 1) / s.block_tokens;
    limits.kv_blocks = std::min(limits.kv_blocks, random.one_in(3) ? one : random.in(one, 4 * one));
    limits.feature_rows = random.in(most_visual_, limits.feature_rows);
    s.how.options.share = !random.one_in(4);
    s.how.options.longest_first = random.one_in(2);
    s.how.options.preempt_every = preempt ? random.in(3, 12) : 0;
    s.how.options.plan_ahead = random.one_in(2);
    s.how.options.encode_beside = random.one_in(2);
    s.how.options.check_accounts = true;
    s.how.pixel_delay = random.one_in(2) ? static_cast<int>(random.in(1, 30)) : 0;
    s.how.pixel_seed = static_cast<std::uint64_t>(random.in(0, 99));
    s.expect_little = random.one_in(2);
    const bool at_once = random.one_in(3);
    const std::int64_t last = at_once ? 0 : random.in(1, 60);
    for (std::int64_t i = 0; i < kTasks; ++i) s.submit_at.push_back(random.in(0, last));
    if (random.one_in(2)) limits.even = {random.in(1, 60), random.in(1, 16)};
    return s;
  }

  /// Each on one rank, its whole prompt at once, nothing shared.
  std::vector<Completion> run_alone() {
    test::EngineRanks& one = ranks(1, 32);
    std::vector<Completion> alone;
    for (const test::EngineTask& task : tasks_)
      alone.push_back(
          one.run({task}, {.limits = one.limits(), .options = {.share = false}}).completions[0]);
    return alone;
  }

  static void expect_equal(const std::vector<Completion>& got,
                           const std::vector<Completion>& alone) {
    for (std::size_t k = 0; k < alone.size(); ++k) {
      ASSERT_FALSE(alone[k].error) << alone[k].error->message;
      ASSERT_FALSE(got[k].error) << "request " << k << ": " << got[k].error->message;
      ASSERT_EQ(got[k].ids, alone[k].ids) << "request " << k;
      ASSERT_EQ(got[k].logits_sha256, alone[k].logits_sha256) << "request " << k;
    }
  }

  test::EngineModel model_ = load(GetParam());
  std::vector<test::EngineTask> tasks_;
  std::int64_t longest_prompt_ = 0, longest_ = 0, most_visual_ = 0;
  std::map<std::pair<int, std::int64_t>, std::unique_ptr<test::EngineRanks>> ranks_;
};

TEST_P(EngineInvariance, LogitsDoNotDependOnTheSchedule) {
  const std::vector<Completion> alone = run_alone();
  std::map<std::string, int> kinds;
  std::int64_t preempted = 0, reused_tokens = 0;
  for (std::uint64_t i = 0; i < kSchedulesPerShard; ++i) {
    const std::uint64_t seed = GetParam().first_seed + i;
    const Schedule s = schedule(seed);
    SCOPED_TRACE(fmt::format("seed {}: {}", seed, s.text()));
    std::vector<test::EngineTask> tasks = tasks_;
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      tasks[k].submit_at = s.submit_at[k];
      if (s.expect_little) tasks[k].request.expected_new_tokens = 1;
    }
    const test::EngineOutcome outcome = ranks(s.ranks, s.block_tokens).run(tasks, s.how);
    ASSERT_NO_FATAL_FAILURE(expect_equal(outcome.completions, alone));
    const SchedulerStats& stats = outcome.stats.scheduler;
    preempted += stats.preempted, reused_tokens += stats.reused_tokens;
    ++kinds[fmt::format("on {} rank(s)", s.ranks)];
    ++kinds[fmt::format("blocks of {}", s.block_tokens)];
    kinds["chunked"] += s.how.limits.max_batch_tokens < longest_prompt_ ? 1 : 0;
    kinds["preempted"] += stats.preempted > 0 ? 1 : 0;
    kinds["preempted for blocks"] +=
        stats.preempted > 0 && s.how.options.preempt_every == 0 ? 1 : 0;
    kinds["reused blocks"] += stats.reused_tokens > 0 ? 1 : 0;
    kinds["sharing off"] += s.how.options.share ? 0 : 1;
    kinds["planned ahead"] += s.how.options.plan_ahead.value() ? 1 : 0;
    kinds["encoded beside"] += s.how.options.encode_beside.value() ? 1 : 0;
    kinds["pixels late"] += s.how.pixel_delay > 0 ? 1 : 0;
    kinds["blocks for one only"] +=
        s.how.limits.kv_blocks * s.block_tokens < longest_ + s.block_tokens ? 1 : 0;
  }
  std::string line;
  for (const auto& [kind, count] : kinds) line += fmt::format(", {} {}", count, kind);
  fmt::print("{} schedules of {} requests{}; {} sent back, {} tokens reused\n", kSchedulesPerShard,
             kTasks, line, preempted, reused_tokens);
  // The schedules cover what they are meant to cover.
  for (const char* kind : {"chunked", "preempted", "reused blocks", "sharing off", "pixels late",
                           "planned ahead", "encoded beside"})
    EXPECT_GT(kinds[kind], 0) << kind;
  for (int count = 1; count <= std::min(4, GetParam().computation.most_leaves); count *= 2)
    EXPECT_GT(kinds[fmt::format("on {} rank(s)", count)], 0);
}

TEST_P(EngineInvariance, LogitsDoNotDependOnBeingPreemptedForBlocks) {
  std::erase_if(tasks_, [](const test::EngineTask& task) { return !task.request.images.empty(); });
  const std::vector<Completion> alone = run_alone();
  // All begin at once, and there is no block for any of them when it needs one more.
  std::vector<test::EngineTask> tasks = tasks_;
  std::int64_t blocks = 0;
  for (test::EngineTask& task : tasks) {
    task.request.expected_new_tokens = 1;
    blocks += static_cast<std::int64_t>(task.request.ids.size()) / 16 + 1;
  }
  for (const int count : {1, 2, 4}) {
    if (count > GetParam().computation.most_leaves) continue;
    test::EngineConditions how{.limits = ranks(count, 16).limits(),
                               .options = {.share = false, .check_accounts = true}};
    how.limits.kv_blocks = std::max(blocks, longest_ / 16 + 1);
    const test::EngineOutcome outcome = ranks(count, 16).run(tasks, how);
    ASSERT_NO_FATAL_FAILURE(expect_equal(outcome.completions, alone));
    EXPECT_GT(outcome.stats.scheduler.preempted, 0) << count << " ranks";
  }
}

std::vector<Shard> shards() {
  std::vector<Shard> all;
  std::uint64_t seed = 0;
  const auto add = [&](const std::string& model, DType dtype) {
    for (int half = 0; half < 2; ++half, seed += kSchedulesPerShard)
      all.push_back({model, {.dtype = dtype}, seed});
  };
  for (const std::string& config : test::golden_configs())
    for (const DType dtype : {DType::kF32, DType::kBF16}) add(config, dtype);
  add("captioner", DType::kBF16);
  all.push_back({"captioner", {.kv_dtype = DType::kF8E4M3}, seed});
  for (const int leaves : {1, 2}) all.push_back({"captioner", {.most_leaves = leaves}, seed});
  return all;  // 17 times 16 schedules: 272
}

INSTANTIATE_TEST_SUITE_P(, EngineInvariance, testing::ValuesIn(shards()), [](const auto& instance) {
  const Shard& shard = instance.param;
  const layers::Computation& computation = shard.computation;
  std::string text =
      fmt::format("{}_{}{}", shard.model, computation.dtype == DType::kF32 ? "f32" : "bf16",
                  computation.kv_dtype ? "_fp8_cache" : "");
  if (computation.most_leaves != kMaxLeaves)
    text += fmt::format("_leaves_{}", computation.most_leaves);
  text += fmt::format("_from_seed_{}", shard.first_seed);
  std::ranges::replace(text, '-', '_');
  return text;
});

}  // namespace
}  // namespace retinue::runtime
