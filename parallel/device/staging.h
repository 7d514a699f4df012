#pragma once

#include "parallel/device/context.h"

#include <array>
#include <cstddef>

namespace retinue {

/// Host memory in front of a device, in two pieces that are used in turn: the host fills one while
/// the copies from the other still run.
class StagingRing {
 public:
  StagingRing(MemoryLedger& ledger, Device device, std::size_t piece_bytes);

  /// The next piece. Waits until the copies that were enqueued from it have finished.
  std::byte* next();
  /// Called when every copy from or to the piece has been enqueued.
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

/// Returns the address at which kernels read `staged`: on CPU `staged` itself; on another device an
/// enqueued copy in memory of the enclosing Frame. While planning, `staged` may be null.
std::byte* upload(Context& ctx, std::byte* staged, std::size_t size_bytes);

/// Returns the address at which the host reads a contiguous `value` after waiting for the stream:
/// on CPU the value itself; else `staged`, to which a copy is enqueued.
const std::byte* download(const Context& ctx, ConstTensorView value, std::byte* staged);

}  // namespace retinue
