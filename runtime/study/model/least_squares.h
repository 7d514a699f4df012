#pragma once

#include <span>
#include <vector>

namespace retinue::study {

/// Coefficients c >= 0 that minimise the sum of weight (x . c - y)^2.
///   rows     samples, each with as many features
///   y        [samples]
///   weights  [samples], >= 0
/// Projected coordinate descent: ends after `rounds`, or when a round changes less than 1e-12.
std::vector<double> nonnegative_least_squares(std::span<const std::vector<double>> rows,
                                              std::span<const double> y,
                                              std::span<const double> weights, int rounds = 4000);

}  // namespace retinue::study
