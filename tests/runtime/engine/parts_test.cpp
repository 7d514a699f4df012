// The engine's parts, without a model.
#include "parallel/base/check.h"
#include "runtime/engine/encode_queue.h"
#include "runtime/engine/feature_cache.h"
#include "runtime/engine/kv_cache.h"
#include "runtime/engine/length_estimate.h"
#include "runtime/engine/sampler.h"
#include "runtime/engine/step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

namespace retinue::runtime {
namespace {

std::vector<std::int32_t> take(KvCache& cache, int pages) {
  std::vector<std::int32_t> table;
  for (int i = 0; i < pages; ++i) EXPECT_TRUE(cache.grow(table));
  return table;
}

TEST(KvCache, PagesAreHeldOnceAndComeBack) {
  KvCache cache(10, 16);
  auto a = take(cache, 3), b = take(cache, 1);
  std::set<std::int32_t> all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  EXPECT_EQ(all.size(), 4U);
  EXPECT_EQ(cache.available(), 6);
  EXPECT_EQ(cache.slot(a, 32), a[2] * 16);
  EXPECT_EQ(cache.slot(a, 17), a[1] * 16 + 1);
  EXPECT_THROW((void)cache.slot(a, 48), BugError);
  auto rest = take(cache, 6);
  EXPECT_FALSE(cache.grow(b));
  EXPECT_EQ(b.size(), 1U);
  cache.release(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(cache.available(), 3);
  const std::vector<std::int32_t>* tables[] = {&b, &rest};
  cache.check_accounts(tables);
  EXPECT_THROW(cache.check_accounts({}), BugError);
}

const std::vector<ContentKey> kKeys = {{1, 1}, {2, 1}, {3, 1}};

TEST(KvCache, APublishedPageIsFoundSharedAndKept) {
  KvCache cache(4, 16);
  auto first = take(cache, 3);
  EXPECT_EQ(cache.match(kKeys), 0);
  for (std::size_t i = 0; i < 3; ++i) cache.publish(first[i], kKeys[i]);
  EXPECT_EQ(cache.match(kKeys), 3);
  EXPECT_EQ(cache.held(kKeys), 3);
  std::vector<std::int32_t> second;
  cache.share(std::span(kKeys).first(2), second);
  EXPECT_EQ(second, std::vector(first.begin(), first.begin() + 2));
  cache.release(first);
  EXPECT_EQ(cache.available(), 2) << "two are held by the other";
  EXPECT_EQ(cache.match(kKeys), 3) << "and the third is kept";
  EXPECT_EQ(cache.held(kKeys), 2);
  const std::vector<std::int32_t>* tables[] = {&second};
  cache.check_accounts(tables);
}

TEST(KvCache, KeptPagesGiveWayTheEndOfAPromptFirst) {
  KvCache cache(4, 16);
  auto old = take(cache, 3);
  for (std::size_t i = 0; i < 3; ++i) cache.publish(old[i], kKeys[i]);
  cache.release(old);
  auto fresh = take(cache, 2);
  EXPECT_EQ(cache.match(kKeys), 2) << "one page was free, the last of the kept gave way";
  EXPECT_TRUE(cache.grow(fresh));
  EXPECT_EQ(cache.match(kKeys), 1);
}

TEST(KvCache, WhatIsDiscardedIsForgottenButForWhatOthersHold) {
  KvCache cache(4, 16);
  auto poisoned = take(cache, 3);
  for (std::size_t i = 0; i < 3; ++i) cache.publish(poisoned[i], kKeys[i]);
  std::vector<std::int32_t> other, zeroed;
  cache.share(std::span(kKeys).first(1), other);
  const std::vector<std::int32_t> mine(poisoned.begin() + 1, poisoned.end());
  cache.discard(poisoned, zeroed);
  EXPECT_EQ(zeroed, mine);
  EXPECT_EQ(cache.match(kKeys), 1);
  EXPECT_EQ(cache.available(), 3);
}

VisualItem item(std::uint64_t key, std::uint64_t content) {
  return {key, {1, 2, 2}, content == 0 ? ContentKey{} : ContentKey{content, 1}};
}

TEST(FeatureCache, EqualContentIsOneFeatureUnknownContentIsNot) {
  FeatureCache cache(10, true);
  Feature& a = cache.use(item(1, 7), 4);
  EXPECT_EQ(&cache.use(item(2, 7), 4), &a);
  EXPECT_NE(&cache.use(item(3, 0), 4), &cache.use(item(4, 0), 4));
  EXPECT_EQ(a.users, 2);
  FeatureCache alone(10, false);
  EXPECT_NE(&alone.use(item(1, 7), 4), &alone.use(item(2, 7), 4));
}

TEST(FeatureCache, EncodedFeaturesStayUntilTheirRowsAreWanted) {
  FeatureCache cache(10, true);
  std::vector<std::uint64_t> gone;
  const auto note = [&](Feature& feature) { gone.push_back(feature.key); };
  const auto encoded = [&](std::uint64_t key, std::uint64_t content) -> Feature& {
    Feature& feature = cache.use(item(key, content), 4);
    EXPECT_TRUE(cache.place(feature));
    feature.state = Feature::State::kEncoded;
    feature.pins = 1;
    return feature;
  };
  Feature &a = encoded(1, 7), &b = encoded(2, 8);
  a.pins = b.pins = 0;
  cache.release(a, note);
  cache.release(b, note);
  EXPECT_TRUE(gone.empty());
  EXPECT_EQ(&cache.use(item(5, 8), 4), &b) << "found again";
  b.pins = 1;
  Feature& c = cache.use(item(3, 9), 4);
  EXPECT_TRUE(cache.place(c)) << "in the place of the one that nobody uses";
  EXPECT_EQ(cache.find(1), nullptr);
  c.pins = 1;
  Feature& d = cache.use(item(4, 0), 4);
  EXPECT_FALSE(cache.place(d)) << "all others are counted on";
  b.pins = 0;
  EXPECT_TRUE(cache.place(d));
  EXPECT_EQ(b.state, Feature::State::kAwaited) << "who uses it needs its pixels again";
  cache.release(d, note);
  EXPECT_EQ(gone, std::vector<std::uint64_t>{4}) << "not encoded, not dealt: nothing to keep";
}

TEST(FeatureCache, WhatIsOnItsWayStaysUntilItComes) {
  FeatureCache cache(10, true);
  Feature& feature = cache.use(item(1, 0), 4);
  feature.assigned = true;
  cache.release(feature, [](Feature&) { FAIL() << "its pixels are still to come"; });
  EXPECT_EQ(cache.find(1), &feature);
  EXPECT_EQ(&cache.use(item(1, 0), 4), &feature) << "who asks for the same item finds it";
}

TEST(FeatureRows, FillGapsAndRefuseWhatDoesNotFit) {
  FeatureRows rows(10);
  EXPECT_EQ(rows.allocate(4), 0);
  EXPECT_EQ(rows.allocate(4), 4);
  EXPECT_EQ(rows.allocate(3), -1);
  rows.release(0, 4);
  EXPECT_EQ(rows.allocate(3), 0);
  EXPECT_EQ(rows.allocate(2), 8);
  EXPECT_THROW(rows.release(1, 3), BugError);
}

TEST(EncodeQueue, DealsLongestFirstToTheLeastLoaded) {
  EncodeQueue queue(2, 0.0);
  // Costs 4, 16, 9 and 9 in units of patches squared.
  const std::vector<EncodeQueue::Item> items = {
      {1, {1, 1, 2}}, {2, {1, 2, 2}}, {3, {1, 1, 3}}, {4, {1, 1, 3}}};
  const auto owned = queue.deal(items);
  std::map<std::uint64_t, int> owner;
  for (const OwnedItem& item : owned) owner[item.key] = item.owner;
  EXPECT_EQ(owner[2], 0);
  EXPECT_EQ(owner[3], 1);
  EXPECT_EQ(owner[4], 1);
  EXPECT_EQ(owner[1], 0);
  queue.done(3), queue.done(4);
  EXPECT_EQ(queue.deal(std::vector<EncodeQueue::Item>{{5, {1, 1, 1}}})[0].owner, 1);
}

TEST(EncodeQueue, TemporalSlicesAddUpWhereOneImageGrowsWithItsSquare) {
  EXPECT_EQ(encode_cost({4, 2, 2}, 10), 4 * encode_cost({1, 2, 2}, 10));
  EXPECT_GT(encode_cost({1, 4, 4}, 10), 4 * encode_cost({1, 2, 2}, 10));
}

TEST(StepPlan, SurvivesTheWire) {
  StepPlan plan;
  plan.prefetch = {{0xFEDCBA9876543210ULL, 3}};
  plan.drop = {1, ~std::uint64_t{0}};
  plan.zero_blocks = {9, 4};
  plan.encode = {{0x8000000080000000ULL, 1, 17, {2, 34, 60}}};
  plan.ids = {1, 2, 3}, plan.positions = {0, 1, 2, 0, 1, 2, 0, 1, 2}, plan.slot_mapping = {5, 6, 7};
  plan.block_table = {4, 9}, plan.cu_seqlens = {0, 3}, plan.seq_lens = {3}, plan.logit_rows = {2};
  plan.max_blocks = 2, plan.argmax_rows = 1;
  std::vector<std::int32_t> words, again;
  plan.serialize(words);
  StepPlan copy;
  copy.parse(words);
  copy.serialize(again);
  EXPECT_EQ(words, again);
  EXPECT_EQ(copy.prefetch[0].key, plan.prefetch[0].key);
  EXPECT_EQ(copy.drop, plan.drop);
  EXPECT_EQ(copy.zero_blocks, plan.zero_blocks);
  EXPECT_EQ(copy.encode[0].key, plan.encode[0].key);
  EXPECT_EQ(copy.encode[0].grid, plan.encode[0].grid);
  for (std::size_t size = 0; size < words.size(); ++size)
    EXPECT_THROW(copy.parse(std::span(words).first(size)), BugError) << size;
}

TEST(LengthEstimate, IsWhatNineteenOfTwentyStayWithin) {
  LengthEstimate lengths;
  for (int i = 0; i < 15; ++i) lengths.add(10);
  EXPECT_EQ(lengths.tokens(256), 256) << "too few to tell";
  lengths.add(10);
  EXPECT_EQ(lengths.tokens(256), 10);
  for (int i = 0; i < 256; ++i) lengths.add(i % 100 + 1);
  EXPECT_NEAR(static_cast<double>(lengths.tokens(256)), 95, 3);
}

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
  const Sampled sampled = sample_token(logits, {}, {}, {}, 0);
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
