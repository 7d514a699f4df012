#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace retinue::runtime {

/// What a replica takes before all else after deaths (runtime/failure/crash_attribution.h).
struct Bisection {
  std::vector<std::int64_t> items;
  std::vector<std::size_t> stops;  ///< after so many of them all that were taken end first
};

/// Those with a strike come first, each alone; then the suspects, no more than half of them
/// together, so that a death leaves fewer and at last one. Both are dealt one by one to replica
/// `index` of `replicas`.
///   struck, suspects  have no item in common
Bisection plan_bisection(const std::set<std::int64_t>& attributed,
                         const std::set<std::int64_t>& suspects, int index, int replicas);

}  // namespace retinue::runtime
