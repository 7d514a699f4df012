#pragma once

#include "parallel/device/device.h"

#include <cstddef>
#include <memory>

namespace retinue {

/// The stream that a device serves first where both have work.
enum class Urgency { kFirst, kBackground };

/// Order of work on a device: work on one stream runs in the order in which it was enqueued, copies
/// included. On CPU work has finished when its call returns, so a stream holds no state there.
class Stream {
 public:
  /// A queue of its own on `device`, which becomes the calling thread's current device.
  /// Throws: SystemError when the device cannot be used.
  explicit Stream(Device device, Urgency urgency = Urgency::kFirst);
  /// A stream without a queue, for planning, where nothing is enqueued.
  static Stream planned(Device device);

  [[nodiscard]] Device device() const { return device_; }
  /// The vendor's handle (cudaStream_t); null on CPU.
  [[nodiscard]] void* native() const { return native_.get(); }

  /// Enqueues a copy; either side may be device memory or host memory. Host memory that is not
  /// pinned is read before the call returns, and written by then only on CPU.
  void copy(void* to, const void* from, std::size_t size_bytes) const;
  /// Copies `rows` pieces of `size_bytes`, whose starts lie a pitch apart.
  void copy_rows(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                 std::size_t size_bytes, std::size_t rows) const;
  void zero(void* to, std::size_t size_bytes) const;
  /// True when everything enqueued has finished. Throws: SystemError when some of it failed.
  [[nodiscard]] bool finished() const;
  /// Blocks until finished(). Where the queue has collectives, use Communicator::wait instead: it
  /// has a deadline.
  void synchronize() const;

 private:
  Stream() = default;

  Device device_;
  std::shared_ptr<void> native_;
};

/// A point in a stream's queue.
class Event {
 public:
  explicit Event(Device device);
  /// Moves the point to the present end of the stream's queue.
  void record(const Stream& stream);
  /// Work that is enqueued on `stream` from now on runs after the point.
  void hold(const Stream& stream) const;
  /// Whether the stream has passed the point; true when it was never recorded.
  [[nodiscard]] bool passed() const;
  /// Blocks until passed().
  void synchronize() const;
  /// Seconds from `begin` to this point; both have passed. Resolution: half a microsecond.
  [[nodiscard]] double seconds_since(const Event& begin) const;

 private:
  std::shared_ptr<void> native_;
  double recorded_s_ = 0;
};

}  // namespace retinue
