#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace retinue {

/// One collective, as this rank measured it.
struct CollectiveCall {
  std::int64_t bytes = 0;  ///< of this rank's contribution
  double seconds = 0;      ///< from entering to leaving, with the wait for late ranks
  double cpu_s = 0;        ///< processor time of the calling thread in it
};

/// Passes every call to `inner` and records the time of each all_reduce and all_gather. The n-th
/// call of all ranks of a group is the same collective, so the least of their times is the time
/// without waiting for late ranks. For host memory: on devices a call only enqueues.
///   inner, clock, calls   outlive it
///   most                  calls that are recorded; later ones only pass
std::unique_ptr<Communicator> metered(Communicator& inner, const Clock& clock,
                                      std::vector<CollectiveCall>& calls,
                                      std::size_t most = std::size_t{1} << 22);

/// Shows the cost of communication by leaving it out: all_reduce changes nothing, all_gather copies
/// this rank's rows and zeroes the others'. It checks arguments as usual, and passes all other
/// calls to `inner`. Results that are computed with it are wrong on purpose.
///   inner   outlives it
std::unique_ptr<Communicator> without_wire(Communicator& inner);

}  // namespace retinue
