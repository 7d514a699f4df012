#include "runtime/study/model/metrics.h"

#include "runtime/study/model/least_squares.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace retinue::study {

double speed_up(double baseline_s, double s) { return baseline_s / s; }

double strong_efficiency(double baseline_s, double s, double p) {
  return speed_up(baseline_s, s) / p;
}

double weak_efficiency(double baseline_per_s, double per_s, double p) {
  return per_s / p / baseline_per_s;
}

std::optional<double> serial_fraction(double speed_up, double p) {
  if (p == 1) return std::nullopt;
  return (1 / speed_up - 1 / p) / (1 - 1 / p);
}

double Scalability::at(double p) const {
  return x1 * p / (1 + contention * (p - 1) + coherency * p * (p - 1));
}

std::optional<double> Scalability::peak() const {
  if (coherency <= 0) return std::nullopt;
  return std::sqrt(std::max(0.0, 1 - contention) / coherency);
}

std::optional<Scalability> fit_scalability(std::span<const ThroughputPoint> points) {
  std::set<double> sizes;
  for (const ThroughputPoint& point : points)
    if (point.per_s > 0) sizes.insert(point.p);
  if (sizes.size() < 2) return std::nullopt;
  // p / X(p) is linear in 1/x1, s/x1 and k/x1.
  std::vector<std::vector<double>> rows;
  std::vector<double> y, weights;
  for (const ThroughputPoint& point : points) {
    if (point.per_s <= 0) continue;
    const double value = point.p / point.per_s;
    rows.push_back({1, point.p - 1});
    if (sizes.size() > 2) rows.back().push_back(point.p * (point.p - 1));
    y.push_back(value);
    weights.push_back(1 / (value * value));
  }
  const std::vector<double> c = nonnegative_least_squares(rows, y, weights, 200000);
  if (c[0] <= 0) return std::nullopt;
  return Scalability{1 / c[0], c[1] / c[0], c.size() > 2 ? c[2] / c[0] : 0};
}

double load_balance(std::span<const double> compute_s) {
  if (compute_s.empty()) return 1;
  const double most = *std::ranges::max_element(compute_s);
  const double sum = std::accumulate(compute_s.begin(), compute_s.end(), 0.0);
  return most > 0 ? sum / static_cast<double>(compute_s.size()) / most : 1;
}

double loss(double s, double ablated_s) { return 1 - ablated_s / s; }

std::optional<double> tail_loss(std::vector<double> done_s, double makespan_s) {
  const std::size_t n = done_s.size();
  if (n < 20 || makespan_s <= 0) return std::nullopt;
  std::ranges::sort(done_s);
  const std::size_t from = n / 10, to = n - 1 - n / 10;
  const double seconds = done_s[to] - done_s[from];
  if (seconds <= 0) return std::nullopt;
  const double steady = static_cast<double>(to - from) / seconds;
  return 1 - static_cast<double>(n) / makespan_s / steady;
}

double cost_per_1000(double items_per_s, int ranks, double price_per_hour) {
  return ranks * price_per_hour / (3.6 * items_per_s);
}

double flops(const ModelWork& model, const WorkDone& work) {
  return model.flops_per_row * work.rows + model.flops_per_logit_row * work.logit_rows +
         model.flops_per_key * work.keys + model.flops_per_patch * work.patches;
}

double bytes_read(const ModelWork& model, const WorkDone& work) {
  return model.weight_bytes * work.steps + model.bytes_per_key * work.keys;
}

}  // namespace retinue::study
