#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace retinue {

/// One collective as this rank lived it.
struct CollectiveCall {
  std::int64_t bytes = 0;  ///< of its own contribution
  double seconds = 0;      ///< from entering to leaving: others' lateness included
  double cpu_s = 0;        ///< of the calling thread's processor meanwhile
};

/// Passes everything on to `inner` and notes what every all_reduce and all_gather took. The n-th
/// call of all ranks of a group is the same collective, so that the least of their times is what it
/// took once all had come. For host memory: on devices a call only enqueues.
///   inner, clock, calls   outlive it
///   most                  calls noted; later ones are passed on only
std::unique_ptr<Communicator> metered(Communicator& inner, const Clock& clock,
                                      std::vector<CollectiveCall>& calls,
                                      std::size_t most = std::size_t{1} << 22);

/// For the question what communication costs: an all_reduce leaves x as it is, an all_gather moves
/// this rank's rows alone and zeroes the others'. Shapes, checks of arguments and all other calls
/// are `inner`'s. What is computed with it is wrong on purpose.
///   inner   outlives it
std::unique_ptr<Communicator> without_wire(Communicator& inner);

}  // namespace retinue
