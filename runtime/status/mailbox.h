#pragma once

#include <atomic>
#include <memory>

namespace retinue::runtime {

/// Hands the newest of a row of values from one thread to another. Neither ever waits: what is not
/// taken before the next comes is dropped.
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
  /// Null when nothing has come since the last call.
  std::unique_ptr<T> take() {
    return std::unique_ptr<T>(slot_.exchange(nullptr, std::memory_order_acq_rel));
  }

 private:
  std::atomic<T*> slot_ = nullptr;
};

}  // namespace retinue::runtime
