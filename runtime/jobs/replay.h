#pragma once

#include "runtime/jobs/question_queue.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

namespace retinue::runtime {

/// The order in which a replica takes items after deaths (runtime/output/strikes.h).
struct Replay {
  NextItem items;
  std::vector<std::size_t> stops;  ///< after so many of them all that were taken end first
};

/// Those with a strike come first, each alone; then the suspects, no more than half of them
/// together, so that a death leaves fewer and at last one; then the others. The first two are dealt
/// one by one to replica `index` of `replicas`.
///   dealt   what the replica would take without deaths
///   struck, suspects  have no item in common
Replay plan_replay(NextItem dealt, const std::set<std::int64_t>& struck,
                   const std::set<std::int64_t>& suspects, int index, int replicas);

}  // namespace retinue::runtime
