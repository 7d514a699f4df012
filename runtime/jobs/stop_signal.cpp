#include "runtime/jobs/stop_signal.h"

#include "parallel/base/exit_code.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <unistd.h>

namespace retinue::runtime {
namespace {

constexpr std::array<int, 3> kSignals = {SIGTERM, SIGINT, SIGUSR1};

// A signal handler can reach globals only.
std::atomic<int> stop_raised = 0;  ///< the signal
static_assert(std::atomic<int>::is_always_lock_free);

struct Handlers {
  std::mutex mutex;
  int users = 0;
  std::array<struct sigaction, kSignals.size()> before{};
};
Handlers& handlers() {
  static Handlers all;
  return all;
}

void on_signal(int signal) {
  if (stop_raised.exchange(signal) != 0) _exit(kExitResume);
}

}  // namespace

StopSignal::StopSignal() {
  Handlers& all = handlers();
  const std::lock_guard lock(all.mutex);
  if (all.users++ > 0) return;
  stop_raised = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &all.before[i]);
}

StopSignal::~StopSignal() {
  Handlers& all = handlers();
  const std::lock_guard lock(all.mutex);
  if (--all.users > 0) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &all.before[i], nullptr);
}

bool StopSignal::raised() const { return stop_raised != 0; }
bool StopSignal::hurries() const { return stop_raised == SIGTERM; }

}  // namespace retinue::runtime
