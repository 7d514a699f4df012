#include "parallel/comm/sweep_fit.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace retinue {

AlphaBeta fit_alpha_beta(std::span<const TimedBytes> points) {
  bool differ = false;
  // With beta = 1 / B the errors are e_i = (alpha + beta S_i) / t_i - 1; these sums give Σ e_i².
  double aa = 0, ab = 0, bb = 0, a1 = 0, b1 = 0;
  for (const TimedBytes& point : points) {
    check(point.bytes > 0 && point.seconds > 0, "points of a fit have a size and a time");
    differ = differ || point.bytes != points.front().bytes;
    const double a = 1 / point.seconds, b = point.bytes / point.seconds;
    aa += a * a, ab += a * b, bb += b * b, a1 += a, b1 += b;
  }
  check(differ, "a line needs points of two sizes");
  constexpr double kLeastBeta = 1 / kMostBytesPerSecond;
  const auto squares = [&](double alpha, double beta) {
    return alpha * alpha * aa + 2 * alpha * beta * ab + beta * beta * bb - 2 * alpha * a1 -
           2 * beta * b1;
  };
  const double determinant = aa * bb - ab * ab;
  double alpha = (a1 * bb - b1 * ab) / determinant, beta = (aa * b1 - ab * a1) / determinant;
  // Negated, the comparison also refuses NaN, which nearly equal sizes give.
  if (!(alpha >= kLeastAlphaSeconds && beta >= kLeastBeta)) {
    // The sum is convex: with its minimum out of bounds, the best point is on an edge.
    const std::array edges{
        std::pair(kLeastAlphaSeconds, std::max(kLeastBeta, (b1 - kLeastAlphaSeconds * ab) / bb)),
        std::pair(std::max(kLeastAlphaSeconds, (a1 - kLeastBeta * ab) / aa), kLeastBeta)};
    const auto& best = *std::ranges::min_element(
        edges, {}, [&](auto edge) { return squares(edge.first, edge.second); });
    alpha = best.first, beta = best.second;
  }
  AlphaBeta fit{.alpha_s = alpha, .bytes_per_s = 1 / beta};
  double sum = 0;
  for (const TimedBytes& point : points) {
    const double error = std::abs(fit.seconds(point.bytes) / point.seconds - 1);
    sum += error * error;
    fit.worst_error = std::max(fit.worst_error, error);
  }
  fit.rms_error = std::sqrt(sum / static_cast<double>(points.size()));
  return fit;
}

}  // namespace retinue
