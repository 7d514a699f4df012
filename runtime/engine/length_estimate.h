#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace retinue::runtime {

/// Predicts the length of an output: the 95th percentile of the last requests' outputs.
class LengthEstimate {
 public:
  void add(std::int64_t tokens);
  /// `fallback` until enough requests have ended.
  [[nodiscard]] std::int64_t tokens(std::int64_t fallback) const {
    return count_ < kEnough ? fallback : quantile_;
  }

 private:
  static constexpr std::size_t kLast = 256;
  static constexpr std::size_t kEnough = 16;
  std::array<std::int64_t, kLast> last_{};
  std::size_t count_ = 0;
  std::int64_t quantile_ = 0;
};

}  // namespace retinue::runtime
