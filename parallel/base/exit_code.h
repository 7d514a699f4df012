#pragma once

#include <exception>
#include <string>

namespace retinue {

/// How a process ends (CONTRIBUTING.md). Not a class, because exit(), MPI and messages take an int.
enum ExitCode : int {
  kExitDone = 0,         ///< all done
  kExitBug = 1,          ///< an internal bug
  kExitUsage = 2,        ///< the call does not fit
  kExitItemsFailed = 3,  ///< finished, with failed items; doctor: with something broken
  kExitOverBudget = 4,   ///< stopped on purpose: the failure budget is exceeded
  kExitResume = 75,      ///< interrupted, or a system failure: the same command resumes the job
};

/// The code that all ranks leave with: the first of 1, 2, 75, 4, 3, 0 that either has. An unknown
/// code counts as 1.
int worse_exit_code(int a, int b);

/// Why a process ends with an exception.
struct ExitReason {
  ExitCode code = kExitDone;
  std::string message;
};
/// The one mapping from exceptions to exit codes; `error` is not null.
ExitReason exit_reason(const std::exception_ptr& error);

}  // namespace retinue
