#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "runtime/doctor/facts.h"

#include <vector>

namespace retinue::runtime {

/// The time of day in seconds since 1970, which log lines and certificates use.
class WallClock final : public Clock {
 public:
  [[nodiscard]] double now_s() const override;
};

/// How far each rank's `wall` is ahead of rank 0's. Rank 0 asks each rank `rounds` times, and the
/// fastest round trip counts: the answer was given within it, so half of it is the bound (Cristian
/// 1989). Collective. Rank 0 gets one entry per rank, its own included; other ranks get none.
std::vector<ClockFacts> compare_clocks(Communicator& world, const Clock& wall, int rounds = 20);

}  // namespace retinue::runtime
