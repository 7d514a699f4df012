#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace retinue::runtime {

/// The order in which a replica takes its items after deaths (runtime/output/strikes.h).
struct Replay {
  std::vector<std::size_t> order;
  std::vector<std::size_t> stops;  ///< places in `order` before which all earlier ones have ended
};

/// Those with a strike come first, each alone; then the suspects, no more than half of them
/// together, so that a death leaves fewer and at last one; then the others.
///   mine  items of this replica, in the order they were dealt
Replay plan_replay(const std::vector<std::size_t>& mine, const std::set<std::int64_t>& struck,
                   const std::set<std::int64_t>& suspects);

}  // namespace retinue::runtime
