#pragma once
// Tested through tests/system/resume_test.cpp.

namespace retinue::runtime {

/// While an object of this class exists, the first SIGTERM, SIGINT or SIGUSR1 raises a flag; the
/// second ends the process at once with exit code 75, which the journal survives. SIGTERM leaves
/// little time: mpirun kills two seconds after it. Handlers belong to the process, so ranks that
/// are threads of one test share the flag.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  [[nodiscard]] bool raised() const;
  /// The signal was SIGTERM.
  [[nodiscard]] bool hurries() const;
};

}  // namespace retinue::runtime
