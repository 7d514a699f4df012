#pragma once

#include <string>
#include <vector>

namespace retinue::launcher {

/// Runs the ranks of a job (run_command), and again when they end with 75: a rank was lost, or the
/// system failed. Waits a little longer each time. Returns the last exit code.
///   job      folder of the job, which tells progress: records that are new, or fewer suspects of a
///            death (runtime/failure/crash_attribution.h)
///   retries  so many times in a row without progress; then, after any other code, and once it was
///            asked to stop, it ends
int supervise(const std::vector<std::string>& arguments, const std::string& job, int retries);

}  // namespace retinue::launcher
