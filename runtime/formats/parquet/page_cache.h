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

/// A cache of values that are costly to make, up to a number of bytes; the least recently used
/// leave first. For any number of threads: a value that one thread makes is awaited by the others.
template <class Key, class Value>
class KeptValues {
 public:
  explicit KeptValues(std::int64_t most_bytes) : most_bytes_(most_bytes) {}

  /// The kept value for `key`, else the Result<Value> of make(). Value has memory_bytes(). Errors
  /// are not kept. A value larger than the limit is kept alone.
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
    // Other threads wait for the slot, so it must not stay empty after an exception. Once it holds
    // a value, it may be removed or replaced as soon as the lock is released.
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
  std::list<Key> used_;  // keys with a value, newest first
  std::int64_t bytes_ = 0;
};

}  // namespace retinue::runtime::detail
