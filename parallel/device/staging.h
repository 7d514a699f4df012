#pragma once

#include "parallel/device/context.h"

#include <array>
#include <cstddef>

namespace retinue {

/// Host memory in front of a device, two pieces that are used in turn: one is filled while what was
/// enqueued from the other still runs.
class StagingRing {
 public:
  StagingRing(MemoryLedger& ledger, Device device, std::size_t piece_bytes);

  /// The next piece, once everything that was enqueued from it has passed.
  std::byte* next();
  /// Called when all that reads or writes the piece has been enqueued.
  void enqueued(const Stream& stream) { passed_[piece_].record(stream); }
  [[nodiscard]] std::size_t piece_bytes() const { return piece_bytes_; }
  /// Host bytes of a ring.
  static constexpr std::int64_t bytes(std::int64_t piece_bytes) { return 2 * piece_bytes; }

 private:
  std::size_t piece_bytes_;
  Buffer buffer_;
  std::array<Event, 2> passed_;
  std::size_t piece_ = 1;
};

/// Where kernels find `staged`: itself on CPU; on another device a copy that is enqueued, in memory
/// of the enclosing Frame. Planning, `staged` may be null.
std::byte* upload(Context& ctx, std::byte* staged, std::size_t size_bytes);

/// Where the host finds a contiguous `value` once the stream has been waited for: itself on CPU;
/// else `staged`, which a copy to is enqueued.
const std::byte* download(const Context& ctx, ConstTensorView value, std::byte* staged);

}  // namespace retinue
