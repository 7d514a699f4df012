#pragma once

#include <optional>
#include <string>

namespace retinue::launcher {

/// What the processors of this machine have used since some start, from the counters that Linux
/// shows of RAPL. None where there are none, or only root may read them.
std::optional<double> energy_counter_j(const std::string& sysfs = "/sys");

}  // namespace retinue::launcher
