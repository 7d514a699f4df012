#include "runtime/study/model/metrics.h"

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

TEST(Metrics, SerialFractionIsTheOneInAmdahlsLaw) {
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
  // One item a second for 100 s, and then 25 s without a completion.
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

}  // namespace
}  // namespace retinue::study
