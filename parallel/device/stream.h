#pragma once

#include "parallel/device/device.h"

namespace retinue {

/// Order of work on a device: what is enqueued on one stream runs in that order. On CPU an op has
/// finished when its call returns, so a stream holds no state there.
class Stream {
 public:
  explicit Stream(Device device) : device_(device) {}
  [[nodiscard]] Device device() const { return device_; }

 private:
  Device device_;
};

}  // namespace retinue
