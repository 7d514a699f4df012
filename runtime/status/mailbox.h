#pragma once

#include <atomic>
#include <memory>

namespace retinue::runtime {

/// Passes the newest of a series of values from one thread to another. Neither thread ever waits: a
/// value that is not taken before the next put() is dropped.
template <class T>
class Mailbox {
 public:
  Mailbox() = default;
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox() { take(); }

  void put(std::unique_ptr<T> value) {
    const std::unique_ptr<T> unread(slot_.exchange(value.release(), std::memory_order_acq_rel));
  }
  /// Null when there was no put() since the last call.
  std::unique_ptr<T> take() {
    return std::unique_ptr<T>(slot_.exchange(nullptr, std::memory_order_acq_rel));
  }

 private:
  std::atomic<T*> slot_ = nullptr;
};

}  // namespace retinue::runtime
