#pragma once

#include <span>

namespace retinue {

/// The time that a message of some bytes took.
struct TimedBytes {
  double bytes = 0;
  double seconds = 0;
};

/// t(S) = alpha + S / B: the cost of a message before its first byte, and the rate of its bytes.
struct AlphaBeta {
  double alpha_s = 0;
  double bytes_per_s = 0;
  /// Root mean square and largest of |fitted / measured - 1| over the points of the fit. Protocols
  /// change with size, so a few tenths are usual; the line then holds in order of magnitude.
  double rms_error = 0;
  double worst_error = 0;

  [[nodiscard]] double seconds(double bytes) const { return alpha_s + bytes / bytes_per_s; }
  /// The size at which both parts cost the same: latency dominates below, bandwidth above.
  [[nodiscard]] double balanced_bytes() const { return alpha_s * bytes_per_s; }
};

/// Bounds of the fit: noise must not give a negative latency, nor bytes that take no time.
inline constexpr double kLeastAlphaSeconds = 1e-9;
inline constexpr double kMostBytesPerSecond = 1e15;

/// Least squares on the relative error, so that 8 bytes weigh as much as 64 MiB; alpha and B within
/// the bounds above. Points of equal size count each.
/// Throws: BugError without two different sizes, or for a time or a size that is not positive.
AlphaBeta fit_alpha_beta(std::span<const TimedBytes> points);

}  // namespace retinue
