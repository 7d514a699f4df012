#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace retinue::study {

/// Formulas that know no files and no runs. Times are makespans in seconds; p is the number of
/// ranks over the baseline's.

/// T0 / T.
double speed_up(double baseline_s, double s);
/// Speed-up over p.   Amdahl 1967
double strong_efficiency(double baseline_s, double s, double p);
/// Rate per rank over the baseline's.   Gustafson 1988
double weak_efficiency(double baseline_per_s, double per_s, double p);
/// (1/S - 1/p) / (1 - 1/p): the share of the work that behaves as if it were serial. None for p =
/// 1. Karp, Flatt 1990
std::optional<double> serial_fraction(double speed_up, double p);

/// X(p) = x1 p / (1 + s (p - 1) + k p (p - 1)).   Gunther 1993
struct Scalability {
  double x1 = 0;          ///< throughput for p = 1
  double contention = 0;  ///< s
  double coherency = 0;   ///< k
  [[nodiscard]] double at(double p) const;
  /// The p of the largest throughput; none when throughput only grows.
  [[nodiscard]] std::optional<double> peak() const;
};
struct ThroughputPoint {
  double p = 1, per_s = 0;
};
/// Least squares of the relative error, s and k at least 0. None with fewer than two different p;
/// with two, k is 0.
std::optional<Scalability> fit_scalability(std::span<const ThroughputPoint> points);

/// mean / max over the ranks' compute times.   POP
double load_balance(std::span<const double> compute_s);
/// The share of `s` that leaving out a part of the work saves: 1 - ablated / s.
double loss(double s, double ablated_s);
/// 1 - (N / T) / steady rate. The steady rate is that of the middle eight tenths of the
/// completions. None with fewer than 20 items.
///   done_s      when each item was done, in any order
///   makespan_s  T, not before the last of them
std::optional<double> tail_loss(std::vector<double> done_s, double makespan_s);

/// Currency per 1,000 items, for a price per hour of one rank.
double cost_per_1000(double items_per_s, int ranks, double price_per_hour);

/// The model's arithmetic, from its sizes.
struct ModelWork {
  double flops_per_row = 0;        ///< the decoder's matrices
  double flops_per_logit_row = 0;  ///< the output matrix
  double flops_per_key = 0;        ///< attention of a row over a key
  double flops_per_patch = 0;      ///< the vision tower's matrices, with the merger
  double weight_bytes = 0;         ///< read by a decoder step, over all ranks of a replica
  double bytes_per_key = 0;        ///< bytes of the KV cache that a row reads per key
};
struct WorkDone {
  double rows = 0, logit_rows = 0, keys = 0, patches = 0, steps = 0;
};
double flops(const ModelWork& model, const WorkDone& work);
double bytes_read(const ModelWork& model, const WorkDone& work);

}  // namespace retinue::study
