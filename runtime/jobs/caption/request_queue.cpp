#include "runtime/jobs/caption/request_queue.h"

#include "parallel/base/clock.h"
#include "parallel/base/cpu_time.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace retinue::runtime {

RequestQueue::RequestQueue(Make make, std::size_t ahead, int threads,
                           std::vector<std::size_t> stops)
    : stops_(stops.begin(), stops.end()),
      make_(std::move(make)),
      ahead_(std::max<std::size_t>(1, ahead)) {
  for (int i = 0; i < std::max(1, threads); ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

void RequestQueue::add(std::span<const std::int64_t> items) {
  const std::lock_guard lock(mutex_);
  items_.insert(items_.end(), items.begin(), items.end());
  wake_.notify_all();
}

void RequestQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

std::int64_t RequestQueue::waiting() {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(items_.size() + started_ - given_);
}

std::optional<RequestQueue::Entry> RequestQueue::next() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  const auto found = made_.find(given_);
  if (found == made_.end()) return std::nullopt;
  Entry entry = std::move(found->second);
  made_.erase(found);
  ++given_;
  wake_.notify_all();
  return entry;
}

void RequestQueue::pass() {
  const std::lock_guard lock(mutex_);
  if (stops_.empty() || given_ < stops_.front()) return;
  stops_.pop_front();
  wake_.notify_all();
}

bool RequestQueue::may_start() const {
  return !items_.empty() && started_ < given_ + ahead_ &&
         (stops_.empty() || started_ < stops_.front());
}

RequestQueue::Times RequestQueue::times() {
  const std::lock_guard lock(mutex_);
  return times_;
}

bool RequestQueue::exhausted() {
  const std::lock_guard lock(mutex_);
  return closed_ && items_.empty() && given_ == started_;
}

void RequestQueue::work(const std::stop_token& stop) {
  const SteadyClock clock;
  while (true) {
    std::size_t at = 0, item = 0;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [&] { return may_start(); }) || stop.stop_requested()) return;
      at = started_++;
      item = items_.front();
      items_.pop_front();
    }
    try {
      const double begin_s = clock.now_s(), begin_cpu_s = thread_cpu_s();
      Entry entry{item, make_(item)};
      const double seconds = clock.now_s() - begin_s, cpu_s = thread_cpu_s() - begin_cpu_s;
      const std::lock_guard lock(mutex_);
      times_.seconds += seconds, times_.cpu_s += cpu_s, ++times_.made;
      made_.emplace(at, std::move(entry));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
  }
}

}  // namespace retinue::runtime
