// ops::sample beside Hugging Face's order of cuts, in f64 and by sorting.
#include "layers/ops/sample.h"

#include "tests/support/op_test.h"
#include "tests/support/reference.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace retinue::test {
namespace {

struct Case {
  std::int64_t rows, vocab;
  double temperature, top_p, min_p;
  std::int32_t top_k;
  [[nodiscard]] std::string text() const {
    const auto percent = [](double x) { return static_cast<std::int64_t>(std::lround(100 * x)); };
    return dims({{"rows", rows},
                 {"vocab", vocab},
                 {"t", percent(temperature)},
                 {"k", top_k},
                 {"p", percent(top_p)},
                 {"min", percent(min_p)}});
  }
};

/// Softmax in f64; what is -inf gets 0.
Doubles probabilities(const Doubles& x) {
  const double top = *std::ranges::max_element(x);
  Doubles p;
  for (const double value : x) p.push_back(std::exp(value - top));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

/// GenerationMixin's warpers, one after the other, then a draw along the ids.
std::int32_t drawn_id(const std::vector<float>& logits, const ops::SampleRow& row) {
  constexpr double kCut = -std::numeric_limits<double>::infinity();
  const auto largest = std::ranges::max_element(logits) - logits.begin();
  if (row.temperature == 0) return static_cast<std::int32_t>(largest);
  Doubles x;
  for (const float logit : logits) x.push_back(logit / row.temperature);
  if (row.top_k > 0 && static_cast<std::size_t>(row.top_k) < x.size()) {
    Doubles sorted = x;
    std::ranges::sort(sorted, std::greater<>());
    const double least = sorted[static_cast<std::size_t>(row.top_k) - 1];
    for (double& value : x)
      if (value < least) value = kCut;
  }
  if (row.top_p < 1) {
    const Doubles p = probabilities(x);
    std::vector<std::size_t> order(p.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return p[i]; });
    double cumulative = 0;
    for (std::size_t i = 0; i + 1 < order.size(); ++i) {
      cumulative += p[order[i]];
      if (cumulative > 1 - row.top_p) break;
      x[order[i]] = kCut;
    }
  }
  if (row.min_p > 0) {
    const Doubles p = probabilities(x);
    const double bound = row.min_p * *std::ranges::max_element(p);
    for (std::size_t i = 0; i < p.size(); ++i)
      if (p[i] < bound) x[i] = kCut;
  }
  const Doubles p = probabilities(x);
  double cumulative = 0;
  std::size_t id = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0) continue;
    id = i;
    cumulative += p[i];
    if (cumulative > row.draw) break;
  }
  return static_cast<std::int32_t>(id);
}

/// The natural logarithm of the id's probability without temperature and cuts.
double logprob_of(const std::vector<float>& logits, std::int32_t id) {
  return std::log(probabilities({logits.begin(), logits.end()})[static_cast<std::size_t>(id)]);
}

class Sample : public testing::TestWithParam<Instance<Case>> {};

Guarded<std::int64_t> params_of(const std::vector<ops::SampleRow>& rows) {
  std::vector<std::int64_t> words(rows.size() * ops::kSampleRowWords);
  std::memcpy(words.data(), rows.data(), rows.size() * sizeof(ops::SampleRow));
  return Guarded<std::int64_t>::of({static_cast<std::int64_t>(rows.size()), ops::kSampleRowWords},
                                   words);
}

/// The bound of the contract: a draw within 2 n 2^-46 of a border may fall on its other side. Of
/// the draws here, a few hundred, none does.
TEST_P(Sample, DrawsTheTokenThatHuggingFaceWould) {
  const Case c = GetParam().shape;
  for_dtype(GetParam().dtype, [&](auto element) {
    using T = decltype(element);
    for_each_isa([&](Context& ctx) {
      // bf16 repeats values often: ties at every cut.
      auto logits = Guarded<T>::random({c.rows, c.vocab}, 1, 3, 8);
      std::vector<ops::SampleRow> rows;
      std::vector<std::vector<float>> values;
      for (std::int64_t r = 0; r < c.rows; ++r) {
        rows.push_back({to_unit_double(random_bits(17, static_cast<std::uint64_t>(r))), c.top_p,
                        c.min_p, static_cast<float>(c.temperature), c.top_k});
        std::vector<float>& row = values.emplace_back();
        for (std::int64_t i = 0; i < c.vocab; ++i) row.push_back(as_float(logits.at(r, i)));
      }
      auto params = params_of(rows);
      Guarded<std::int32_t> ids({c.rows});
      Guarded<float> logprobs({c.rows});
      ops::sample(ctx, logits, params, ids, logprobs);
      for (std::int64_t r = 0; r < c.rows; ++r) {
        const std::vector<float>& row = values[static_cast<std::size_t>(r)];
        const std::int32_t want = drawn_id(row, rows[static_cast<std::size_t>(r)]);
        EXPECT_EQ(ids.at(r), want) << "row " << r;
        EXPECT_NEAR(logprobs.at(r), logprob_of(row, want), 1e-5) << "row " << r;
        const ops::DrawnToken on_host = ops::sample_row(row, rows[static_cast<std::size_t>(r)]);
        EXPECT_EQ(on_host.id, want) << "row " << r;
        if (ctx.device().type == DeviceType::kCpu) {
          EXPECT_EQ(on_host.logprob, logprobs.at(r)) << "row " << r;
        }
      }
      EXPECT_TRUE(ids.intact() && logprobs.intact() && logits.intact());
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, Sample,
                         testing::ValuesIn(in_each_dtype<Case>({
                             {3, 1, 1, 1, 0, 0},
                             {5, 17, 0, 1, 0, 0},  // greedy
                             {40, 2, 1, 1, 0, 0},
                             {40, 511, 1, 1, 0, 0},
                             {40, 512, 1, 1, 0, 3},
                             {40, 513, 0.7, 1, 0, 20},
                             {40, 1031, 1.3, 0.9, 0, 0},
                             {40, 1031, 1, 0.05, 0, 0},  // the top's own ties are cut
                             {20, 1031, 1, 0, 0, 0},     // one stays
                             {40, 1031, 2, 1, 0.2, 0},
                             {40, 5003, 0.7, 0.8, 0.01, 20},
                             {20, 1031, 1, 0.8, 0, 1031},  // as many as there are
                             {4, 151936, 1, 0.95, 0, 0},
                         })),
                         InstanceName{});

/// Each id as often as its probability says: 4000 draws of four ids, five standard deviations.
TEST(SampleOp, DrawsInProportion) {
  constexpr std::int64_t kRows = 4000;
  const std::vector<double> chances = {0.1, 0.2, 0.3, 0.4};
  std::vector<ops::SampleRow> rows;
  Guarded<float> logits({kRows, 4});
  for (std::int64_t r = 0; r < kRows; ++r) {
    rows.push_back({to_unit_double(random_bits(3, static_cast<std::uint64_t>(r))), 1, 0, 1, 0});
    for (std::int64_t i = 0; i < 4; ++i)
      logits.at(r, i) = static_cast<float>(std::log(chances[static_cast<std::size_t>(i)]));
  }
  TestContext ctx;
  auto params = params_of(rows);
  Guarded<std::int32_t> ids({kRows});
  Guarded<float> logprobs({kRows});
  ops::sample(ctx, logits, params, ids, logprobs);
  for (std::int32_t id = 0; id < 4; ++id) {
    const double p = chances[static_cast<std::size_t>(id)];
    double count = 0;
    for (std::int64_t r = 0; r < kRows; ++r) count += ids.at(r) == id ? 1 : 0;
    EXPECT_NEAR(count, kRows * p, 5 * std::sqrt(kRows * p * (1 - p)));
  }
}

TEST(SampleOp, TakesInfinityAndLeavesNaN) {
  for_each_isa([&](Context& ctx) {
    auto logits = Guarded<BFloat16>::of(
        {2, 4}, {to_bfloat16(NAN), to_bfloat16(1), to_bfloat16(NAN), to_bfloat16(-INFINITY),
                 to_bfloat16(2), to_bfloat16(INFINITY), to_bfloat16(NAN), to_bfloat16(1)});
    auto params = params_of({{0.99, 1, 0, 1, 0}, {0.99, 0.5, 0.1, 1, 2}});
    Guarded<std::int32_t> ids({2});
    Guarded<float> logprobs({2});
    ops::sample(ctx, logits, params, ids, logprobs);
    EXPECT_EQ(ids.values(), (std::vector<std::int32_t>{1, 1}));
  });
}

TEST(SampleOp, RefusesWhatDoesNotFit) {
  TestContext ctx;
  Guarded<float> logits({2, 4}), logprobs({2}), few({1}), large({1, 1 << 18}), flat({8});
  Guarded<std::int32_t> ids({2}), many({3}), one({1});
  auto params = params_of({{}, {}}), short_params = params_of({{}});
  Guarded<std::int64_t> narrow({2, 3});
  EXPECT_THROW(ops::sample(ctx, flat, params, ids, logprobs), BugError);
  EXPECT_THROW(ops::sample(ctx, large, short_params, one, few), BugError);
  EXPECT_THROW(ops::sample(ctx, logits, short_params, ids, logprobs), BugError);
  EXPECT_THROW(ops::sample(ctx, logits, narrow, ids, logprobs), BugError);
  EXPECT_THROW(ops::sample(ctx, logits, params, many, logprobs), BugError);
  EXPECT_THROW(ops::sample(ctx, logits, params, ids, few), BugError);
  EXPECT_THROW(ops::sample(ctx, ids, params, ids, logprobs), BugError);
}

}  // namespace
}  // namespace retinue::test
