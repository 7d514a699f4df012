#pragma once

#include "parallel/base/result.h"

#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace retinue::runtime::detail {

/// Things that are costly to make, kept up to a number of bytes, the longest unused leaving first.
/// For any number of threads: who asks for a thing that another is making waits for it.
template <class Key, class Value>
class KeptValues {
 public:
  explicit KeptValues(std::int64_t most_bytes) : most_bytes_(most_bytes) {}

  /// What is kept for `key`, or what make() gives: a Result<Value>. Value has memory_bytes(). An
  /// error is not kept. One value larger than the limit is kept alone.
  template <class Make>
  Result<std::shared_ptr<const Value>> get(const Key& key, Make&& make) {
    std::unique_lock lock(mutex_);
    for (auto found = slots_.find(key); found != slots_.end(); found = slots_.find(key)) {
      if (found->second.value != nullptr) {
        used_.splice(used_.begin(), used_, found->second.place);
        return found->second.value;
      }
      made_.wait(lock);
    }
    slots_[key];  // without a value: it is being made
    lock.unlock();
    // The slot must not stay so, whatever happens: others wait for it. Once it holds a value it may
    // be gone, or be another thread's, as soon as the lock is.
    bool kept = false;
    const std::shared_ptr<void> on_leaving(nullptr, [&](void*) {
      const std::scoped_lock again(mutex_);
      if (!kept) slots_.erase(key);
      made_.notify_all();
    });
    Result<Value> made = make();
    if (!made.ok()) return made.error();
    auto value = std::make_shared<const Value>(std::move(made).value());
    const std::scoped_lock again(mutex_);
    Slot& slot = slots_[key];
    slot.value = value;
    kept = true;
    slot.place = used_.insert(used_.begin(), key);
    bytes_ += value->memory_bytes();
    while (bytes_ > most_bytes_ && used_.size() > 1) {
      const auto oldest = slots_.find(used_.back());
      bytes_ -= oldest->second.value->memory_bytes();
      slots_.erase(oldest);
      used_.pop_back();
    }
    return value;
  }

 private:
  struct Slot {
    std::shared_ptr<const Value> value;
    typename std::list<Key>::iterator place;
  };
  const std::int64_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable made_;
  std::map<Key, Slot> slots_;
  std::list<Key> used_;  // newest first; those with a value
  std::int64_t bytes_ = 0;
};

}  // namespace retinue::runtime::detail
