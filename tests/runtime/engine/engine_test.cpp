// The engine on tiny models: greedy outputs equal the reference's, alone or in company, on one rank
// or several.
#include "runtime/engine/engine.h"

#include "runtime/engine/engine_plan.h"
#include "tests/support/engine_runs.h"
#include "tests/support/tiny_model.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>

namespace retinue::runtime {
namespace {

const std::string kRoot = std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/";

/// One prompt of greedy.json with its pixels.
struct Prompt {
  std::vector<std::int32_t> ids;
  std::vector<layers::Patches> items;
  double repetition_penalty = 1;
  std::vector<std::int32_t> output;  ///< of the reference, 64 steps
};

std::vector<Prompt> load_prompts(const std::string& config) {
  const std::string folder = kRoot + "cases/" + config + "/";
  std::ifstream file(folder + "greedy.json");
  std::vector<Prompt> prompts;
  for (const auto& entry : nlohmann::json::parse(file)) {
    Prompt prompt;
    prompt.ids = entry["input_ids"].get<std::vector<std::int32_t>>();
    prompt.output = entry["output_ids"].get<std::vector<std::int32_t>>();
    prompt.repetition_penalty = entry["repetition_penalty"].get<double>();
    prompt.items = test::load_items(config, entry["messages"], folder);
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

struct Conditions {
  int tensor = 1;
  std::int64_t max_sequences = 8;
  std::int64_t max_batch_tokens = 64;
  int pixel_delay = 0;
  DType dtype = DType::kF32;
  SamplingParams sampling{};
  std::int64_t max_new_tokens = 64;
  std::vector<std::int32_t> stop_ids{};
  std::vector<std::size_t> broken{};            ///< prompts whose first image cannot be decoded
  std::vector<std::size_t> changed{};           ///< prompts whose first image has changed since
  int cancel_after = -1;                        ///< steps
  std::vector<std::int64_t> withdrawn_after{};  ///< steps; per prompt, -1: never
};

/// Completions in the order of the prompts.
std::vector<Completion> run(const std::string& config, const std::vector<Prompt>& prompts,
                            const Conditions& how) {
  EngineSizing sizing;
  sizing.max_sequences = how.max_sequences;
  sizing.max_batch_tokens = how.max_batch_tokens;
  sizing.max_new_tokens = 64;
  sizing.max_image_patches = 512;
  sizing.max_items = 4;
  sizing.max_text_tokens = 128;
  test::EngineRanks ranks(test::golden_engine_model(config, how.dtype), how.tensor, sizing);
  std::vector<test::EngineTask> tasks;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    test::EngineTask task{.request = {}, .pixels = prompts[i].items};
    Request& request = task.request;
    request.ids = prompts[i].ids;
    request.sampling = how.sampling;
    request.sampling.repetition_penalty = prompts[i].repetition_penalty;
    request.sampling_stream = i;
    request.max_new_tokens = how.max_new_tokens;
    request.stop_ids = how.stop_ids;
    for (const layers::Patches& item : prompts[i].items)
      request.images.push_back({.key = 0, .grid = item.grid_thw});
    if (std::ranges::count(how.broken, i) > 0) task.broken = {"image", "cut short"};
    if (std::ranges::count(how.changed, i) > 0)
      task.pixels[0] = {std::vector<std::uint8_t>(4 * 1536), {1, 2, 2}};
    if (!how.withdrawn_after.empty()) task.cancel_at = how.withdrawn_after[i];
    tasks.push_back(std::move(task));
  }
  test::EngineConditions conditions;
  conditions.limits = ranks.limits();
  conditions.pixel_delay = how.pixel_delay;
  conditions.cancel_at = how.cancel_after;
  return ranks.run(tasks, conditions).completions;
}

class EngineGolden : public testing::TestWithParam<std::string> {
 protected:
  std::vector<Prompt> prompts_ = load_prompts(GetParam());

  void expect_reference(const std::vector<Completion>& completions) {
    for (std::size_t i = 0; i < prompts_.size(); ++i) {
      ASSERT_FALSE(completions[i].error) << completions[i].error->message;
      EXPECT_EQ(completions[i].ids, prompts_[i].output) << "prompt " << i;
      EXPECT_EQ(completions[i].finish_reason, FinishReason::kLength);
    }
  }
};

TEST_P(EngineGolden, GreedyTokensEqualTheReferenceOver64Steps) {
  ASSERT_GE(prompts_.size(), 10U);
  expect_reference(run(GetParam(), prompts_, {}));
}

TEST_P(EngineGolden, OneAtATimeAndInSmallChunksGivesTheSameTokens) {
  expect_reference(run(GetParam(), prompts_, {.max_sequences = 1, .max_batch_tokens = 7}));
}

TEST_P(EngineGolden, RanksOfATensorAxisShareTheWorkAndGiveTheSameTokens) {
  for (const int tensor : {2, 4}) expect_reference(run(GetParam(), prompts_, {.tensor = tensor}));
}

TEST_P(EngineGolden, PixelsMayArriveLate) {
  expect_reference(run(GetParam(), prompts_, {.pixel_delay = 40}));
}

TEST_P(EngineGolden, Bf16IsTheSameAloneInCompanyAndOnRanks) {
  const auto together = run(GetParam(), prompts_, {.dtype = DType::kBF16});
  const auto alone = run(GetParam(), prompts_,
                         {.max_sequences = 1, .max_batch_tokens = 16, .dtype = DType::kBF16});
  const auto ranks = run(GetParam(), prompts_, {.tensor = 4, .dtype = DType::kBF16});
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    EXPECT_EQ(alone[i].ids, together[i].ids);
    EXPECT_EQ(ranks[i].ids, together[i].ids);
  }
}

TEST_P(EngineGolden, SampledTokensDoNotDependOnCompany) {
  Conditions how;
  how.sampling.temperature = 1.0, how.sampling.top_p = 0.9, how.sampling.top_k = 50,
  how.sampling.seed = 7;
  const auto together = run(GetParam(), prompts_, how);
  how.max_sequences = 1, how.tensor = 2;
  const auto alone = run(GetParam(), prompts_, how);
  bool differs_from_greedy = false;
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    EXPECT_EQ(alone[i].ids, together[i].ids);
    differs_from_greedy |= together[i].ids != prompts_[i].output;
  }
  EXPECT_TRUE(differs_from_greedy);
}

TEST_P(EngineGolden, AnImageThatCannotBeDecodedFailsItsRequestAlone) {
  std::size_t bad = 0;
  while (prompts_[bad].items.empty()) ++bad;
  const auto completions = run(GetParam(), prompts_, {.tensor = 2, .broken = {bad}});
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    if (i == bad) {
      ASSERT_TRUE(completions[i].error);
      EXPECT_EQ(completions[i].error->message, "cut short");
    } else {
      EXPECT_EQ(completions[i].ids, prompts_[i].output);
    }
  }
}

TEST_P(EngineGolden, AFileThatChangedFailsItsRequestAlone) {
  std::size_t bad = 0;
  while (prompts_[bad].items.empty()) ++bad;
  for (const int tensor : {1, 2}) {
    const auto completions = run(GetParam(), prompts_, {.tensor = tensor, .changed = {bad}});
    for (std::size_t i = 0; i < prompts_.size(); ++i) {
      if (i == bad)
        EXPECT_EQ(completions[i].error.value_or(DataError{}).stage, "image");
      else
        EXPECT_EQ(completions[i].ids, prompts_[i].output);
    }
  }
}

TEST_P(EngineGolden, CancellingEndsWhatRunsAndWhatWaits) {
  for (const int steps : {1, 2, 5, 20}) {
    const auto completions =
        run(GetParam(), prompts_, {.tensor = 2, .max_sequences = 3, .cancel_after = steps});
    for (const Completion& completion : completions)
      EXPECT_EQ(completion.error.value_or(DataError{}).stage, "cancelled") << steps;
  }
}

TEST_P(EngineGolden, AWithdrawnRequestLeavesTheOthersAsTheyAre) {
  // Some wait, some are in their prompt, some decode: each third prompt goes after another step.
  Conditions how{.tensor = 2, .max_sequences = 4, .withdrawn_after = {}};
  for (std::size_t i = 0; i < prompts_.size(); ++i)
    how.withdrawn_after.push_back(i % 3 == 0 ? static_cast<std::int64_t>(i) + 1 : -1);
  const auto completions = run(GetParam(), prompts_, how);
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    if (i % 3 == 0)
      EXPECT_EQ(completions[i].error.value_or(DataError{}).stage, "cancelled") << i;
    else
      EXPECT_EQ(completions[i].ids, prompts_[i].output) << i;
  }
}

TEST_P(EngineGolden, AStopIdEndsARequestAndIsNotPartOfIt) {
  const std::vector<std::int32_t>& all = prompts_[0].output;
  // The first id that did not occur before it.
  std::size_t at = 3;
  while (std::find(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at), all[at]) !=
         all.begin() + static_cast<std::ptrdiff_t>(at))
    ++at;
  const auto stopped = run(GetParam(), {prompts_[0]}, {.stop_ids = {all[at]}});
  EXPECT_EQ(stopped[0].ids,
            std::vector<std::int32_t>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(at)));
  EXPECT_EQ(stopped[0].finish_reason, FinishReason::kStop);
}

TEST_P(EngineGolden, MaxNewTokensEndsARequest) {
  const auto cut = run(GetParam(), {prompts_[0]}, {.max_new_tokens = 5});
  EXPECT_EQ(cut[0].ids,
            std::vector<std::int32_t>(prompts_[0].output.begin(), prompts_[0].output.begin() + 5));
  EXPECT_EQ(cut[0].finish_reason, FinishReason::kLength);
}

INSTANTIATE_TEST_SUITE_P(, EngineGolden, testing::ValuesIn(test::golden_configs()),
                         [](const auto& instance) {
                           std::string name = instance.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace retinue::runtime
