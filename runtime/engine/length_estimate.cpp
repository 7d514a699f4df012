#include "runtime/engine/length_estimate.h"

#include <algorithm>

namespace retinue::runtime {

void LengthEstimate::add(std::int64_t tokens) {
  last_[count_++ % kLast] = tokens;
  const std::size_t known = std::min(count_, kLast);
  std::array<std::int64_t, kLast> sorted = last_;
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(known);
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(known * 19 / 20);
  std::nth_element(sorted.begin(), at, end);
  quantile_ = *at;
}

}  // namespace retinue::runtime
