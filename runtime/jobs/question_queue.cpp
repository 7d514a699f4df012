#include "runtime/jobs/question_queue.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace retinue::runtime {

QuestionQueue::QuestionQueue(std::span<const std::size_t> items, std::vector<std::size_t> stops,
                             Make make, std::size_t ahead, int threads)
    : items_(items),
      stops_(stops.begin(), stops.end()),
      make_(std::move(make)),
      ahead_(std::max<std::size_t>(1, ahead)) {
  set_limit();
  for (int i = 0; i < std::max(1, threads); ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

std::optional<QuestionQueue::Entry> QuestionQueue::next() {
  const std::lock_guard lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
  const auto found = made_.find(given_);
  if (found == made_.end()) return std::nullopt;
  Entry entry{items_[given_], std::move(found->second)};
  made_.erase(found);
  ++given_;
  set_limit();
  wake_.notify_all();
  return entry;
}

void QuestionQueue::pass() {
  const std::lock_guard lock(mutex_);
  if (stops_.empty() || given_ < stops_.front()) return;
  stops_.pop_front();
  set_limit();
  wake_.notify_all();
}

void QuestionQueue::set_limit() {
  limit_ = std::min(given_ + ahead_, items_.size());
  if (!stops_.empty()) limit_ = std::min(limit_, stops_.front());
}

void QuestionQueue::work(const std::stop_token& stop) {
  while (true) {
    std::size_t at = 0;
    {
      std::unique_lock lock(mutex_);
      if (!wake_.wait(lock, stop, [&] { return started_ < limit_; }) || stop.stop_requested())
        return;
      at = started_++;
    }
    try {
      Result<Question> question = make_(items_[at]);
      const std::lock_guard lock(mutex_);
      made_.emplace(at, std::move(question));
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
  }
}

}  // namespace retinue::runtime
