#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace retinue::study {

/// Pure formulas: numbers in, a number out; nothing here knows files or runs. Times are seconds of
/// the makespan, p counts ranks over those of the baseline.

/// T0 / T.
double speed_up(double baseline_s, double s);
/// Speed-up over p.   Amdahl 1967
double strong_efficiency(double baseline_s, double s, double p);
/// Rate per rank over that of the baseline.   Gustafson 1988
double weak_efficiency(double baseline_per_s, double per_s, double p);
/// (1/S - 1/p) / (1 - 1/p): how much of the work behaves as if it were serial. None for p = 1.
/// Karp, Flatt 1990
std::optional<double> serial_fraction(double speed_up, double p);

/// X(p) = x1 p / (1 + s (p - 1) + k p (p - 1)).   Gunther 1993
struct Scalability {
  double x1 = 0;          ///< throughput of one
  double contention = 0;  ///< s
  double coherency = 0;   ///< k
  [[nodiscard]] double at(double p) const;
  /// Where throughput is largest; none when it only grows.
  [[nodiscard]] std::optional<double> peak() const;
};
struct ThroughputPoint {
  double p = 1, per_s = 0;
};
/// By least squares of relative errors, s and k at least 0. None with fewer than two different p;
/// with two of them k is 0.
std::optional<Scalability> fit_scalability(std::span<const ThroughputPoint> points);

/// mean / max of the ranks' compute times.   POP
double load_balance(std::span<const double> compute_s);
/// What of `s` is saved when a part of the work is left out: 1 - ablated / s.
double loss(double s, double ablated_s);
/// 1 - (N / T) / steady rate, where steady is the rate over the middle eight tenths of the
/// completions. None with fewer than 20 of them.
///   done_s   when each item was done, in any order; makespan_s after the last
std::optional<double> tail_loss(std::vector<double> done_s, double makespan_s);

/// Currency per 1,000 items, for a price per hour of one rank.
double cost_per_1000(double items_per_s, int ranks, double price_per_hour);

/// What the model's arithmetic comes to, from its sizes alone.
struct ModelWork {
  double flops_per_row = 0;        ///< of the decoder's matrices
  double flops_per_logit_row = 0;  ///< of the output matrix
  double flops_per_key = 0;        ///< of attention: a row over a key
  double flops_per_patch = 0;      ///< of the vision tower's matrices, merger included
  double weight_bytes = 0;         ///< that a decoder step reads, of all ranks of a replica
  double bytes_per_key = 0;        ///< of cache that a row reads per key
};
struct WorkDone {
  double rows = 0, logit_rows = 0, keys = 0, patches = 0, steps = 0;
};
double flops(const ModelWork& model, const WorkDone& work);
double bytes_read(const ModelWork& model, const WorkDone& work);

}  // namespace retinue::study
