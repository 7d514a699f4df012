#pragma once

#include "parallel/base/clock.h"
#include "parallel/comm/communicator.h"
#include "runtime/doctor/facts.h"

#include <vector>

namespace retinue::runtime {

/// The time of day, as seconds since 1970: what log lines and certificates go by.
class WallClock final : public Clock {
 public:
  [[nodiscard]] double now_s() const override;
};

/// How far each rank's `wall` is ahead of rank 0's, which asks each in turn. Of `rounds` questions
/// the one answered fastest counts: the answer was given within its time of travel, so half of that
/// is the bound (Cristian 1989). Collective; rank 0 gets all, itself included, others nothing.
std::vector<ClockFacts> compare_clocks(Communicator& world, const Clock& wall, int rounds = 20);

}  // namespace retinue::runtime
