#include "launcher/energy.h"

#include <filesystem>
#include <fstream>
#include <system_error>

namespace retinue::launcher {

std::optional<double> energy_counter_j(const std::string& sysfs) {
  std::optional<double> sum;
  std::error_code error;
  namespace fs = std::filesystem;
  for (auto zone = fs::directory_iterator(sysfs + "/class/powercap", error);
       !error && zone != fs::directory_iterator(); zone.increment(error)) {
    // Packages alone ("intel-rapl:0"): cores and memory ("intel-rapl:0:0") are parts of these.
    const std::string name = zone->path().filename().string();
    const std::size_t colon = name.find(':');
    if (colon == name.npos || name.find(':', colon + 1) != name.npos) continue;
    std::ifstream file(zone->path() / "energy_uj");
    double microjoules = 0;
    if (!(file >> microjoules)) return std::nullopt;
    sum = sum.value_or(0) + 1e-6 * microjoules;
  }
  return sum;
}

}  // namespace retinue::launcher
