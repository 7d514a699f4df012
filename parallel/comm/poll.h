#pragma once

// Tested through tests/parallel/comm/mpi/mpi_shared_reduce_test.cpp.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace retinue {

/// Set once the ranks cannot go on; every wait of the process checks it. Safe from any thread.
class BrokenFlag {
 public:
  /// The first reason stays.
  void set(std::string_view reason);
  [[nodiscard]] bool is_set() const { return set_.load(std::memory_order_acquire); }
  [[nodiscard]] std::string reason() const;

 private:
  std::atomic<bool> set_ = false;
  mutable std::mutex mutex_;
  std::string reason_;
};

/// How this process waits for other ranks; decided once.
struct PollPolicy {
  double deadline_s = 300;
  /// Checks before the first yield. 0 where ranks outnumber cores: a spinning rank would take the
  /// core from the rank that it waits for.
  int spins = 0;
};

/// One wait of a rank for its peers on the host: spins, then yields, then sleeps briefly.
///   while (!done) poll.pause();
/// Throws: SystemError at the deadline or once the flag is set.
class Poll {
 public:
  /// `who`: "[mpi] rank 1 of 4 in \"tensor\" (world rank 5, node07)"; `what`: "all_reduce". Both
  /// outlive the wait.
  Poll(const PollPolicy& policy, const BrokenFlag& broken, std::string_view who,
       std::string_view what)
      : policy_(policy), broken_(broken), who_(who), what_(what) {}

  void pause() {
    if (++looks_ <= policy_.spins)
      __builtin_ia32_pause();
    else
      pause_longer();
  }

 private:
  void pause_longer();

  const PollPolicy& policy_;
  const BrokenFlag& broken_;
  std::string_view who_;
  std::string_view what_;
  std::int64_t looks_ = 0;
  std::chrono::steady_clock::time_point since_{};
};

}  // namespace retinue
