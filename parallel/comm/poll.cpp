#include "parallel/comm/poll.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <sched.h>
#include <thread>

namespace retinue {

void BrokenFlag::set(std::string_view reason) {
  const std::lock_guard lock(mutex_);
  if (!set_.load(std::memory_order_relaxed)) reason_ = reason;
  set_.store(true, std::memory_order_release);
}

std::string BrokenFlag::reason() const {
  const std::lock_guard lock(mutex_);
  return reason_;
}

void Poll::pause_longer() {
  using std::chrono::duration;
  // A peer that is late by this much is busy with other work: give up the core. With a core per
  // rank it yields for longer first, because a sleep costs some 60 us of latency.
  const duration<double> yields(policy_.spins > 0 ? 5e-3 : 0.5e-3);
  constexpr std::chrono::microseconds kNap(50);

  const auto now = std::chrono::steady_clock::now();
  if (since_ == std::chrono::steady_clock::time_point{}) since_ = now;
  if (broken_.is_set())
    throw SystemError(fmt::format("{}: {} given up: {}", who_, what_, broken_.reason()));
  const duration<double> waited = now - since_;
  if (waited.count() > policy_.deadline_s)
    throw SystemError(fmt::format(
        "{}: {} not finished after {} s. A peer is stuck or gone; see the first error in the logs "
        "of the other ranks.",
        who_, what_, policy_.deadline_s));
  if (waited < yields)
    sched_yield();
  else
    std::this_thread::sleep_for(kNap);
}

}  // namespace retinue
