#pragma once

#include <span>

namespace retinue {

/// What moving so many bytes took.
struct TimedBytes {
  double bytes = 0;
  double seconds = 0;
};

/// t(S) = alpha + S / B: what a message costs before its first byte, and how fast bytes follow.
struct AlphaBeta {
  double alpha_s = 0;
  double bytes_per_s = 0;
  /// Root mean square and largest of |fitted / measured - 1| over the points of the fit. Protocols
  /// change with size, so a few tenths are usual; the line then holds in order of magnitude.
  double rms_error = 0;
  double worst_error = 0;

  [[nodiscard]] double seconds(double bytes) const { return alpha_s + bytes / bytes_per_s; }
  /// Where both parts cost the same: shorter messages wait for latency, longer for bandwidth.
  [[nodiscard]] double balanced_bytes() const { return alpha_s * bytes_per_s; }
};

/// No line is steeper or flatter than this: noise may not give a negative latency, nor bytes that
/// take no time.
inline constexpr double kLeastAlphaSeconds = 1e-9;
inline constexpr double kMostBytesPerSecond = 1e15;

/// Least squares on the relative error, so that 8 bytes weigh as much as 64 MiB; alpha and B within
/// the bounds above. Points of equal size count each.
/// Throws: BugError without two different sizes, or for a time or a size that is not positive.
AlphaBeta fit_alpha_beta(std::span<const TimedBytes> points);

}  // namespace retinue
