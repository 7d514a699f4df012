#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// Writes a crash report (crash_attribution.h) when the process gets SIGSEGV, SIGABRT, SIGBUS,
/// SIGFPE or SIGILL: which signal, and the item that the crashing thread worked on. Afterwards the
/// signal takes its usual effect. Signal handlers belong to the process: where several ranks are
/// threads of one, only the first reporter that is alive reports.
class CrashReporter {
 public:
  ///   path    crash_report_path(); no file is made before there is something to report
  ///   leader  the rank that leads this rank's replica
  CrashReporter(std::string path, int leader);
  ~CrashReporter();
  CrashReporter(const CrashReporter&) = delete;
  CrashReporter& operator=(const CrashReporter&) = delete;

  /// Writes the report for an error that ends this rank without a signal. Only the first call
  /// writes. Async-signal-safe.
  ///   reason  one word of letters, digits and underscores
  void leave(std::string_view reason) noexcept;

 private:
  std::string path_;
  std::string tail_;  ///< the end of the line, which does not depend on the crash
  std::atomic<bool> left_ = false;
};

/// Until the end of its scope this thread works for `item` alone, and a crash names it.
class WorkOn {
 public:
  explicit WorkOn(std::int64_t item);
  ~WorkOn();
  WorkOn(const WorkOn&) = delete;
  WorkOn& operator=(const WorkOn&) = delete;
};

}  // namespace retinue::runtime
