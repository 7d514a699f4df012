#include "runtime/study/model/metrics.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "runtime/study/model/least_squares.h"
#include "runtime/study/model/model_work.h"
#include "runtime/study/model/step_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace retinue::study {
namespace {

TEST(Metrics, EfficiencyIsSpeedUpOverRanks) {
  EXPECT_DOUBLE_EQ(strong_efficiency(12, 4, 4), 0.75);  // 3 times as fast on 4
  EXPECT_DOUBLE_EQ(weak_efficiency(10, 36, 4), 0.9);    // 9 per rank instead of 10
}

TEST(Metrics, SerialFractionIsWhatAmdahlPutIn) {
  // Amdahl: S = 1 / (f + (1 - f) / p) with f = 0.1, p = 8.
  const double s = 1 / (0.1 + 0.9 / 8);
  EXPECT_NEAR(*serial_fraction(s, 8), 0.1, 1e-12);
  EXPECT_FALSE(serial_fraction(1, 1).has_value());
}

TEST(Metrics, ScalabilityFitFindsTheLawThatMadeThePoints) {
  const Scalability law{100, 0.05, 0.002};
  std::vector<ThroughputPoint> points;
  for (const double p : {1.0, 2.0, 4.0, 8.0, 16.0, 32.0}) points.push_back({p, law.at(p)});
  const auto fit = fit_scalability(points);
  ASSERT_TRUE(fit.has_value());
  EXPECT_NEAR(fit->x1, 100, 0.1);
  EXPECT_NEAR(fit->contention, 0.05, 1e-4);
  EXPECT_NEAR(fit->coherency, 0.002, 1e-5);
  EXPECT_NEAR(*fit->peak(), std::sqrt(0.95 / 0.002), 0.2);  // 21.8
}

TEST(Metrics, ScalabilityNeedsTwoSizesAndNeverGoesNegative) {
  EXPECT_FALSE(fit_scalability(std::vector<ThroughputPoint>{{1, 5}, {1, 6}}).has_value());
  // Faster than linear: no negative contention is made up for it.
  const auto fit = fit_scalability(std::vector<ThroughputPoint>{{1, 10}, {2, 22}, {4, 50}});
  ASSERT_TRUE(fit.has_value());
  EXPECT_GE(fit->contention, 0);
  EXPECT_GE(fit->coherency, 0);
  EXPECT_FALSE(fit->peak().has_value());
}

TEST(Metrics, LoadBalanceIsMeanOverMost) {
  EXPECT_DOUBLE_EQ(load_balance(std::array{3.0, 4.0, 5.0}), 0.8);
  EXPECT_DOUBLE_EQ(load_balance(std::array{2.0, 2.0}), 1);
}

TEST(Metrics, LossIsWhatLeavingOutSaves) { EXPECT_DOUBLE_EQ(loss(10, 7), 0.3); }

TEST(Metrics, TailLossComparesWithTheMiddleEightTenths) {
  // One item a second for 100 s, and then 25 s for nobody.
  std::vector<double> done;
  for (int i = 1; i <= 100; ++i) done.push_back(i);
  EXPECT_NEAR(*tail_loss(done, 125), 1 - 100.0 / 125, 1e-9);
  EXPECT_NEAR(*tail_loss(done, 100), 0, 1e-9);
  done.resize(19);
  EXPECT_FALSE(tail_loss(done, 30).has_value());
}

TEST(Metrics, CostIsRanksTimesPriceOverItems) {
  // 8 ranks at 2.50 an hour, 10 items/s: 20 an hour for 36,000 items.
  EXPECT_NEAR(cost_per_1000(10, 8, 2.5), 20.0 / 36, 1e-12);
}

TEST(Metrics, ModelWorkIsTheArithmeticOfQwen3Vl32B) {
  layers::ModelConfig c;
  c.text.hidden_size = 5120, c.text.intermediate_size = 25600, c.text.num_hidden_layers = 64;
  c.text.num_attention_heads = 64, c.text.num_key_value_heads = 8, c.text.head_dim = 128;
  c.text.vocab_size = 151936;
  c.vision.depth = 27, c.vision.hidden_size = 1152, c.vision.intermediate_size = 4304;
  c.vision.num_heads = 16, c.vision.patch_size = 16, c.vision.temporal_patch_size = 2;
  c.vision.spatial_merge_size = 2, c.vision.out_hidden_size = 5120;
  c.vision.deepstack_visual_indexes = {8, 16, 24};
  const ModelWork work = work_of(c, 2);
  EXPECT_NEAR(work.flops_per_row, 62.4e9, 0.1e9);
  EXPECT_NEAR(work.flops_per_logit_row, 1.56e9, 0.01e9);
  EXPECT_NEAR(work.flops_per_key, 2.10e6, 0.01e6);
  EXPECT_NEAR(work.bytes_per_key, 256 * 1024, 1);
  EXPECT_NEAR(work.weight_bytes, 64.0e9, 0.2e9);
}

TEST(Metrics, PeaksAreKnownForNamedGpusOnly) {
  EXPECT_EQ(peaks_of("NVIDIA H200")->bytes_per_s, 4.8e12);
  EXPECT_EQ(peaks_of("NVIDIA H100 80GB HBM3")->flops_per_s, 989e12);
  EXPECT_FALSE(peaks_of("Some Other Device").has_value());
}

TEST(LeastSquares, StaysAtZeroWhereTheBestWouldBeNegative) {
  // y = 2 a - b: b may not be negative, so that a alone has to do.
  const std::vector<std::vector<double>> rows = {{1, 0}, {1, 1}, {2, 1}};
  const auto c =
      nonnegative_least_squares(rows, std::array{2.0, 1.0, 3.0}, std::array{1.0, 1.0, 1.0});
  EXPECT_EQ(c[1], 0);
  EXPECT_NEAR(c[0], 9.0 / 6, 1e-9);
}

TEST(StepModel, FitKeepsTheSumAndFindsWhatMadeTheSteps) {
  std::vector<TimedStep> steps;
  double sum = 0;
  for (std::uint64_t i = 0; i < 600; ++i) {
    const auto random = [&](std::uint64_t k) { return to_unit_double(random_bits(i, k)); };
    TimedStep step;
    step.work.rows = std::floor(1 + 60 * random(0));
    step.work.logit_rows = std::floor(step.work.rows * random(1));
    step.work.keys = step.work.rows * std::floor(200 * random(2));
    step.work.patches = i % 5 == 0 ? 64 : 0;
    // One in ten is stretched by something else.
    step.seconds = (5e-3 + 1e-4 * step.work.rows + 1e-5 * step.work.logit_rows +
                    1e-7 * step.work.keys + (step.work.patches > 0 ? 2e-3 + 64e-5 : 0)) *
                   (i % 10 == 3 ? 2 : 1);
    sum += step.seconds;
    steps.push_back(step);
  }
  const StepTimes times = fit_step_times(steps);
  double predicted = 0;
  for (const TimedStep& step : steps) predicted += times.seconds(step.work);
  EXPECT_NEAR(predicted / sum, 1, 0.002);
  // 1.1: what the stretched ones add on the average.
  EXPECT_NEAR(times.seconds({.rows = 30, .logit_rows = 15, .keys = 3000}), 1.1 * 8.45e-3, 5e-4);
}

TEST(StepModel, TooFewStepsAreRefusedWithWhatToDo) {
  try {
    (void)fit_step_times(std::vector<TimedStep>(3));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("at least 8"));
  }
}

}  // namespace
}  // namespace retinue::study
