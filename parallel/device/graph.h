#pragma once

#include "parallel/device/stream.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

namespace retinue {

/// Work that is enqueued again and again: the first time it runs directly, the second time it is
/// recorded, and from then on the record is replayed with one call. (The first run may load
/// kernels, which a capture cannot.) On CPU it always runs directly. Recorded work reads its inputs
/// from the same addresses each time, allocates nothing, reads no device memory on the host, and
/// waits for nothing.
class GraphCache {
 public:
  /// Keeps at most `capacity` records, and drops the least recently used one.
  explicit GraphCache(std::size_t capacity = 64) : capacity_(capacity) {}

  /// `key` names everything that decides which kernels run with which arguments.
  void run(const Stream& stream, std::uint64_t key, const std::function<void()>& work);
  [[nodiscard]] std::size_t recorded() const { return recorded_; }
  [[nodiscard]] std::size_t replayed() const { return replayed_; }

 private:
  struct Entry {
    std::shared_ptr<void> graph;
    std::uint64_t last_used = 0;
  };
  std::size_t capacity_;
  std::uint64_t clock_ = 0;
  std::size_t recorded_ = 0;
  std::size_t replayed_ = 0;
  std::map<std::uint64_t, Entry> entries_;
};

}  // namespace retinue
