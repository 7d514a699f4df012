#include "parallel/comm/sweep_fit.h"

#include "parallel/base/check.h"
#include "parallel/base/rng.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace retinue {
namespace {

constexpr double kAlpha = 13e-6, kBandwidth = 276e9;

std::vector<TimedBytes> line(double alpha, double bandwidth, double noise = 0,
                             std::uint64_t seed = 1) {
  std::vector<TimedBytes> points;
  for (double bytes = 8; bytes <= 64 << 20; bytes *= 2) {
    const double error = 2 * to_unit_double(random_bits(seed, points.size())) - 1;
    points.push_back({bytes, (alpha + bytes / bandwidth) * (1 + noise * error)});
  }
  return points;
}

TEST(AlphaBeta, IsExactOnAnExactLine) {
  for (const double alpha : {1e-6, kAlpha, 1e-2})
    for (const double bandwidth : {1e6, 12.5e9, kBandwidth}) {
      const AlphaBeta fit = fit_alpha_beta(line(alpha, bandwidth));
      EXPECT_NEAR(fit.alpha_s / alpha, 1, 1e-6);
      EXPECT_NEAR(fit.bytes_per_s / bandwidth, 1, 1e-6);
      EXPECT_LT(fit.worst_error, 1e-6);
    }
}

TEST(AlphaBeta, TwoSizesAreEnough) {
  const std::vector<TimedBytes> points = {{8, 2e-6}, {1 << 20, 102e-6}};
  const AlphaBeta fit = fit_alpha_beta(points);
  EXPECT_NEAR(fit.seconds(8), 2e-6, 1e-12);
  EXPECT_NEAR(fit.seconds(1 << 20), 102e-6, 1e-12);
}

TEST(AlphaBeta, NoiseMovesItByNoMoreThanItself) {
  // Errors of up to 20 % either way; relative least squares weigh by 1 / t², which favours times
  // that came out short by at most the mean square of the noise, here 0.2² / 3.
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const AlphaBeta fit = fit_alpha_beta(line(kAlpha, kBandwidth, 0.2, seed));
    EXPECT_NEAR(fit.alpha_s / kAlpha, 1, 0.2) << seed;
    EXPECT_NEAR(kBandwidth / fit.bytes_per_s, 1, 0.2) << seed;
    EXPECT_GT(fit.rms_error, 0.03) << seed;
    EXPECT_LT(fit.rms_error, 0.2) << seed;
    EXPECT_GE(fit.worst_error, fit.rms_error) << seed;
  }
}

TEST(AlphaBeta, IsTheBestOfItsNeighbours) {
  const std::vector<TimedBytes> points = line(kAlpha, kBandwidth, 0.3, 7);
  const AlphaBeta fit = fit_alpha_beta(points);
  const auto squares = [&](double alpha, double bandwidth) {
    double sum = 0;
    for (const TimedBytes& point : points)
      sum += std::pow((alpha + point.bytes / bandwidth) / point.seconds - 1, 2);
    return sum;
  };
  const double best = squares(fit.alpha_s, fit.bytes_per_s);
  for (const double factor : {0.98, 1.02}) {
    EXPECT_GT(squares(fit.alpha_s * factor, fit.bytes_per_s), best);
    EXPECT_GT(squares(fit.alpha_s, fit.bytes_per_s * factor), best);
  }
}

TEST(AlphaBeta, LatencyIsPositiveWhereALineWouldGoBelowZero) {
  // Times that grow faster than their sizes.
  const std::vector<TimedBytes> points = {{1000, 1e-6}, {2000, 3e-6}, {4000, 9e-6}};
  const AlphaBeta fit = fit_alpha_beta(points);
  EXPECT_EQ(fit.alpha_s, kLeastAlphaSeconds);
  EXPECT_GT(fit.bytes_per_s, 0);
  EXPECT_LT(fit.bytes_per_s, kMostBytesPerSecond);
}

TEST(AlphaBeta, BandwidthIsFiniteWhereTimesFallWithSize) {
  const std::vector<TimedBytes> points = {{8, 5e-6}, {1000, 4e-6}, {100'000, 3e-6}};
  const AlphaBeta fit = fit_alpha_beta(points);
  EXPECT_NEAR(fit.bytes_per_s, kMostBytesPerSecond, 1);
  // The least of Σ (alpha / t - 1)² is at Σ 1/t over Σ 1/t².
  const double ones = 1 / 5e-6 + 1 / 4e-6 + 1 / 3e-6;
  const double squares = 1 / 25e-12 + 1 / 16e-12 + 1 / 9e-12;
  EXPECT_NEAR(fit.alpha_s, ones / squares, 1e-9);
}

TEST(AlphaBeta, BalanceIsWhereHalfTheTimeIsLatency) {
  const AlphaBeta fit = fit_alpha_beta(line(kAlpha, kBandwidth));
  EXPECT_NEAR(fit.seconds(fit.balanced_bytes()), 2 * fit.alpha_s, 1e-12);
}

TEST(AlphaBeta, RefusesPointsThatGiveNoLine) {
  EXPECT_THROW(fit_alpha_beta({}), BugError);
  EXPECT_THROW(fit_alpha_beta(std::vector<TimedBytes>{{8, 1e-6}}), BugError);
  EXPECT_THROW(fit_alpha_beta(std::vector<TimedBytes>{{8, 1e-6}, {8, 2e-6}}), BugError);
  EXPECT_THROW(fit_alpha_beta(std::vector<TimedBytes>{{8, 1e-6}, {16, 0}}), BugError);
  EXPECT_THROW(fit_alpha_beta(std::vector<TimedBytes>{{0, 1e-6}, {16, 1e-6}}), BugError);
}

}  // namespace
}  // namespace retinue
