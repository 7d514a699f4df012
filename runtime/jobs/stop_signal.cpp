#include "runtime/jobs/stop_signal.h"

#include "parallel/base/exit_code.h"

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <mutex>
#include <string_view>
#include <unistd.h>

namespace retinue::runtime {
namespace {

constexpr std::array<int, 3> kSignals = {SIGTERM, SIGINT, SIGUSR1};

// A signal handler can reach globals only.
std::atomic<int> stop_raised = 0;  ///< the signal
std::atomic<int> in_flight = 0;    ///< objects whose owners have items in flight
std::atomic<bool> reports_end = false;
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

constexpr std::string_view kEnded =
    "retinue: [stop] asked to stop while no item was in flight. The same command goes on.\n";
constexpr std::string_view kEndedTwice =
    "retinue: [stop] asked to stop twice: ended at once. What is unfinished stays where it is; the "
    "same command replaces it.\n";

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
  const bool first = stop_raised.exchange(signal) == 0;
  if (first && in_flight > 0) return;
  const std::string_view text = first ? kEnded : kEndedTwice;
  if (reports_end) [[maybe_unused]]
    const auto written = write(STDERR_FILENO, text.data(), text.size());
  _exit(kExitResume);
}

}  // namespace

StopSignal::StopSignal(bool reports) {
  Handlers& all = handlers();
  const std::lock_guard lock(all.mutex);
  if (all.users++ > 0) return;
  stop_raised = 0;
  reports_end = reports;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &all.before[i]);
}

StopSignal::~StopSignal() {
  set_in_flight(false);
  Handlers& all = handlers();
  const std::lock_guard lock(all.mutex);
  if (--all.users > 0) return;
  for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &all.before[i], nullptr);
}

void StopSignal::set_in_flight(bool value) {
  if (value != in_flight_) in_flight += value ? 1 : -1;
  in_flight_ = value;
}

bool StopSignal::raised() const { return stop_raised != 0; }
bool StopSignal::hurries() const { return stop_raised == SIGTERM; }

}  // namespace retinue::runtime
