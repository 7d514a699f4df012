#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace retinue {

/// One collective on this rank.
struct CollectiveCall {
  std::int64_t bytes = 0;  ///< of its own contribution
  double seconds = 0;      ///< from entering to leaving, waits for other ranks included
  double cpu_s = 0;        ///< CPU time of the calling thread
};

/// Forwards every call to `inner` and records the duration of each all_reduce and all_gather. The
/// n-th call on each rank of a group is the same collective, so the shortest of their durations has
/// no wait for a late rank in it. For host memory: on a device a call only enqueues.
///   inner, clock, calls   outlive it
///   most                  calls to record, the first ones
std::unique_ptr<Communicator> metered(Communicator& inner, const Clock& clock,
                                      std::vector<CollectiveCall>& calls,
                                      std::size_t most = std::size_t{1} << 22);

/// Measures what communication costs by leaving it out: an all_reduce leaves x as it is, an
/// all_gather copies this rank's rows and zeroes the others'. Arguments are checked as by `inner`;
/// all other calls go to it. Results are wrong on purpose.
///   inner   outlives it
std::unique_ptr<Communicator> without_wire(Communicator& inner);

}  // namespace retinue
