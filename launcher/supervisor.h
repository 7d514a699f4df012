#pragma once

#include <string>
#include <vector>

namespace retinue::launcher {

/// Runs the ranks of a job (run_command), and again when they end with 75: a rank was lost, or the
/// system failed. Waits a little longer each time. Returns the last exit code.
///   job      folder of the job, which shows progress: new records, or fewer suspect items of a
///            crash (runtime/failure/crash_attribution.h)
///   retries  most new starts in a row without progress; any other code and a request to stop end
///            it, too
int supervise(const std::vector<std::string>& arguments, const std::string& job, int retries);

}  // namespace retinue::launcher
