#include "runtime/study/model/least_squares.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <cmath>

namespace retinue::study {

std::vector<double> nonnegative_least_squares(std::span<const std::vector<double>> rows,
                                              std::span<const double> y,
                                              std::span<const double> weights, int rounds) {
  check(rows.size() == y.size() && rows.size() == weights.size(), "as many samples as values");
  const std::size_t n = rows.empty() ? 0 : rows[0].size();
  // Columns are scaled to length one: otherwise large units make the descent slow.
  std::vector<double> scale(n, 0), gram(n * n, 0), right(n, 0), c(n, 0);
  for (std::size_t s = 0; s < rows.size(); ++s)
    for (std::size_t i = 0; i < n; ++i) scale[i] += weights[s] * rows[s][i] * rows[s][i];
  for (double& x : scale) x = x > 0 ? 1 / std::sqrt(x) : 0;
  for (std::size_t s = 0; s < rows.size(); ++s)
    for (std::size_t i = 0; i < n; ++i) {
      const double x = weights[s] * rows[s][i] * scale[i];
      if (x == 0) continue;
      right[i] += x * y[s];
      for (std::size_t j = 0; j < n; ++j) gram[i * n + j] += x * rows[s][j] * scale[j];
    }
  for (int round = 0; round < rounds; ++round) {
    double change = 0, size = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (gram[i * n + i] == 0) continue;
      double gradient = right[i];
      for (std::size_t j = 0; j < n; ++j) gradient -= gram[i * n + j] * c[j];
      const double next = std::max(0.0, c[i] + gradient / gram[i * n + i]);
      change += std::abs(next - c[i]), size += next;
      c[i] = next;
    }
    if (change <= 1e-12 * size) break;
  }
  for (std::size_t i = 0; i < n; ++i) c[i] *= scale[i];
  return c;
}

}  // namespace retinue::study
