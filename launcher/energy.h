#pragma once

#include <optional>
#include <string>

namespace retinue::launcher {

/// The energy that this machine's processors have used since some start, from Linux's counters of
/// RAPL. None where there are no counters, or only root may read them.
std::optional<double> energy_counter_j(const std::string& sysfs = "/sys");

}  // namespace retinue::launcher
