#pragma once

namespace retinue::runtime {

/// While one of these lives, the first SIGTERM, SIGINT or SIGUSR1 raises a flag; the second ends
/// the process at once with exit code 75, which the journal survives. SIGTERM hurries: mpirun and
/// others kill two seconds after it. Handlers belong to the
/// process, so this is the one thing that ranks living as threads share.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  [[nodiscard]] bool raised() const;
  /// It was SIGTERM.
  [[nodiscard]] bool hurries() const;
};

}  // namespace retinue::runtime
