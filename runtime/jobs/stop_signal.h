#pragma once
// Tested through tests/system/resume_test.cpp.

namespace retinue::runtime {

/// While an object of this class exists, SIGTERM, SIGINT and SIGUSR1 stop the job. As long as items
/// are in flight, the first one raises a flag. At any other time it ends the process at once with
/// exit code 75, and so does a second one always; the journal survives both. Verbs that answer one
/// request have no items in flight, and begin again. SIGTERM leaves little time: mpirun kills two
/// seconds after it. Handlers belong to the process, so ranks that are
/// threads of one test share the flag.
class StopSignal {
 public:
  /// `reports`: a signal that ends the process at once prints to stderr what becomes of the work.
  explicit StopSignal(bool reports);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// Whether items of this object's owner may be in flight; false at first.
  void set_in_flight(bool value);
  [[nodiscard]] bool raised() const;
  /// The signal was SIGTERM.
  [[nodiscard]] bool hurries() const;

 private:
  bool in_flight_ = false;
};

}  // namespace retinue::runtime
