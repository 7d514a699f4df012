#pragma once

#include "tests/support/cuda_emulator/src/tensor_map.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cuda_emulator {

/// A copy of a box of a tensor to shared memory.
struct BoxCopy {
  TensorMap map;
  int column = 0, row = 0;
  char* to = nullptr;
  std::uint64_t* mbarrier = nullptr;

  [[nodiscard]] std::size_t bytes() const { return map.box_bytes(); }
};

/// How the async proxy sees the dynamic shared memory of the block that runs, and its copies under way.
/// What threads write there is not visible to it before a fence; its own writes are visible to all.
class AsyncProxy {
 public:
  void begin_block(std::span<char> dynamic_shared);
  /// All copies must have landed.
  void end_block() const;

  /// What threads have written so far becomes visible.
  void fence();
  /// Ends the program where the bytes are not all dynamic shared memory, or hold what was written
  /// without a fence.
  void require_visible(const char* at, std::size_t bytes, const char* operation);

  /// Until it lands, a copy's destination holds NaN.
  void start(const BoxCopy& copy);
  [[nodiscard]] std::size_t in_flight() const { return copies_.size(); }
  /// The copy of that index, oldest first, lands.
  BoxCopy land(std::size_t index);

 private:
  void make_view();
  [[nodiscard]] char* view_of(const char* at) { return view_.data() + (at - shared_.data()); }

  std::span<char> shared_;
  std::vector<char> view_;  // of shared_; empty until the block first uses the proxy
  std::vector<BoxCopy> copies_;
};

}  // namespace cuda_emulator
