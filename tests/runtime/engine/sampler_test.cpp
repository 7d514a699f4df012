#include "runtime/engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

namespace retinue::runtime {
namespace {

TEST(Repeats, AreFoundAtTheEndOnly) {
  const std::vector<std::int32_t> ids = {1, 2, 3, 7, 8, 7, 8, 7, 8};
  EXPECT_TRUE(repeats(ids, 3));
  EXPECT_FALSE(repeats(ids, 4));
  EXPECT_FALSE(repeats(std::span(ids).first(8), 3));
  EXPECT_TRUE(repeats(std::vector<std::int32_t>{5, 5, 5, 5}, 4));
  EXPECT_FALSE(repeats(std::vector<std::int32_t>{5, 5}, 0));
}

std::vector<float> some_logits() { return {1.0F, 3.0F, 2.0F, 3.0F, -1.0F}; }

TEST(Sampler, GreedyTakesTheLowestOfEqualIds) {
  auto logits = some_logits();
  const ops::DrawnToken sampled = sample_token(logits, {}, {}, {}, 0);
  EXPECT_EQ(sampled.id, 1);
  double sum = 0;
  for (const float x : some_logits()) sum += std::exp(static_cast<double>(x));
  EXPECT_NEAR(sampled.logprob, 3.0 - std::log(sum), 1e-6);
}

TEST(Sampler, RepetitionPenaltyTouchesPromptAndOutputOnceEach) {
  auto logits = some_logits();
  const std::vector<std::int32_t> prompt = {1, 1, 4}, output = {3, 1};
  EXPECT_EQ(sample_token(logits, {.repetition_penalty = 2}, prompt, output, 0).id, 2);
  EXPECT_EQ(logits[1], 1.5F);
  EXPECT_EQ(logits[3], 1.5F);
  EXPECT_EQ(logits[4], -2.0F);
  EXPECT_EQ(logits[0], 1.0F);
}

/// Shares of the ids over many draws.
std::map<std::int32_t, double> shares(const SamplingParams& params) {
  constexpr int kDraws = 20000;
  std::map<std::int32_t, double> share;
  for (int i = 0; i < kDraws; ++i) {
    auto logits = some_logits();
    share[sample_token(logits, params, {}, {}, static_cast<std::uint64_t>(i)).id] += 1.0 / kDraws;
  }
  return share;
}

TEST(Sampler, DrawsFollowTheSoftmaxAtTheTemperature) {
  const auto share = shares({.temperature = 2});
  double sum = 0;
  for (const float x : some_logits()) sum += std::exp(static_cast<double>(x) / 2);
  for (std::size_t id = 0; id < some_logits().size(); ++id) {
    const double p = std::exp(static_cast<double>(some_logits()[id]) / 2) / sum;
    // Five standard deviations of a share of 20,000 draws.
    EXPECT_NEAR(share.at(static_cast<std::int32_t>(id)), p, 5 * std::sqrt(p * (1 - p) / 20000))
        << id;
  }
}

TEST(Sampler, TopKKeepsTiesAndTopPAndMinPCutTheTail) {
  EXPECT_EQ(shares({.temperature = 1, .top_k = 1}).size(), 2U) << "ids 1 and 3 tie";
  EXPECT_EQ(shares({.temperature = 1, .top_k = 3}).size(), 3U);
  // Probabilities 0.054, 0.397, 0.146, 0.397, 0.007.
  EXPECT_EQ(shares({.temperature = 1, .top_p = 0.75}).size(), 2U);
  EXPECT_EQ(shares({.temperature = 1, .top_p = 0.9}).size(), 3U);
  EXPECT_EQ(shares({.temperature = 1, .top_p = 1e-9}).size(), 1U) << "one always stays";
  EXPECT_EQ(shares({.temperature = 1, .min_p = 0.3}).size(), 3U);
  EXPECT_EQ(shares({.temperature = 1, .min_p = 0.5}).size(), 2U);
}

TEST(Sampler, TheDrawDependsOnSeedStreamAndPositionOnly) {
  const auto draw = [](std::uint64_t seed, std::uint64_t stream, std::size_t position) {
    std::vector<float> logits(1000, 0.0F);
    const std::vector<std::int32_t> output(position, 0);
    return sample_token(logits, {.temperature = 1, .seed = seed}, {}, output, stream).id;
  };
  EXPECT_EQ(draw(1, 2, 3), draw(1, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(2, 2, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 3, 3));
  EXPECT_NE(draw(1, 2, 3), draw(1, 2, 4));
}

}  // namespace
}  // namespace retinue::runtime
