#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// While it lives, a process that dies of SIGSEGV, SIGABRT, SIGBUS, SIGFPE or SIGILL leaves a mark
/// (runtime/failure/crash_attribution.h) before it goes on dying as it would have: which signal, and the item
/// of the thread that got it. Handlers belong to the process: of ranks that live as threads the
/// first one speaks.
class CrashReporter {
 public:
  ///   path  of the mark; made when there is something to say
  ///   lead  rank that leads this one's replica
  CrashReporter(std::string path, int leader);
  ~CrashReporter();
  CrashReporter(const CrashReporter&) = delete;
  CrashReporter& operator=(const CrashReporter&) = delete;

  /// Leaves the mark for an error that ends this rank. One word; the first one stays.
  /// Async-signal-safe.
  void leave(std::string_view reason) noexcept;

 private:
  std::string path_;
  std::string tail_;  ///< what follows the item
  std::atomic<bool> left_ = false;
};

/// What this thread does until the end of the scope is for `item` alone.
class WorkOn {
 public:
  explicit WorkOn(std::int64_t item);
  ~WorkOn();
  WorkOn(const WorkOn&) = delete;
  WorkOn& operator=(const WorkOn&) = delete;
};

}  // namespace retinue::runtime
