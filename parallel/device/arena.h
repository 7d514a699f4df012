#pragma once

#include "parallel/device/memory.h"

#include <cstddef>

namespace retinue {

/// Activations in stack order. The same sequence of calls gives the same addresses, as the replay
/// of a recorded step needs. In plan mode there is no memory: addresses are for arithmetic only,
/// and the peak is recorded.
class Arena {
 public:
  static constexpr std::size_t kAlignment = Buffer::kAlignment;

  /// Plan mode: unbounded, without memory.
  Arena() = default;
  explicit Arena(Buffer buffer) : buffer_(std::move(buffer)), planning_(false) {}

  /// Throws: BugError when the plan is outgrown.
  std::byte* allocate(std::size_t size_bytes);
  [[nodiscard]] std::size_t mark() const { return used_; }
  /// Frees everything allocated since `mark`.
  void release(std::size_t mark);

  [[nodiscard]] bool planning() const { return planning_; }
  [[nodiscard]] std::size_t peak_bytes() const { return peak_; }
  [[nodiscard]] std::size_t capacity_bytes() const { return buffer_.size_bytes(); }

 private:
  Buffer buffer_;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
  bool planning_ = true;
};

}  // namespace retinue
