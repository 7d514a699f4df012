#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace retinue::runtime {

/// The items that a replica runs before all others after a crash, in groups, so that the next crash
/// leaves fewer suspects.
struct Bisection {
  std::vector<std::int64_t> items;  ///< in the order in which they run
  /// Ends of the groups, as counts of items: a group ends completely before the next one starts.
  std::vector<std::size_t> stops;
};

/// Attributed items run first, each in a group of its own. Suspects follow in groups of at most
/// half of all suspects, so that each crash at least halves them, down to one. Replicas take turns:
/// item i of either set goes to replica i % `replicas`.
///   attributed, suspects  have no item in common; see crash_attribution.h
///   index                 the replica whose plan this is
Bisection plan_bisection(const std::set<std::int64_t>& attributed,
                         const std::set<std::int64_t>& suspects, int index, int replicas);

}  // namespace retinue::runtime
