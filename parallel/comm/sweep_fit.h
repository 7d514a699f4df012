#pragma once

#include <span>

namespace retinue {

/// The time that a message of so many bytes took.
struct TimedBytes {
  double bytes = 0;
  double seconds = 0;
};

/// t(S) = alpha + S / B: the time before the first byte, and the rate of the bytes.   Hockney 1994
struct AlphaBeta {
  double alpha_s = 0;
  double bytes_per_s = 0;
  /// Root mean square and largest of |fitted / measured - 1| over the points. Protocols change with
  /// size, so a few tenths are usual; the line then gives the order of magnitude.
  double rms_error = 0;
  double worst_error = 0;

  [[nodiscard]] double seconds(double bytes) const { return alpha_s + bytes / bytes_per_s; }
  /// Where both parts cost the same: latency dominates shorter messages, bandwidth longer ones.
  [[nodiscard]] double balanced_bytes() const { return alpha_s * bytes_per_s; }
};

/// Bounds of a fit: noise must not make a latency negative, nor a byte free. At the bound of the
/// bandwidth, the bandwidth is unknown.
inline constexpr double kLeastAlphaSeconds = 1e-9;
inline constexpr double kMostBytesPerSecond = 1e15;

/// Least squares of the relative error, so that 8 bytes weigh as much as 64 MiB, within the bounds
/// above. Points of equal size all count.
/// Throws: BugError without two different sizes, or for a time or a size that is not positive.
AlphaBeta fit_alpha_beta(std::span<const TimedBytes> points);

}  // namespace retinue
