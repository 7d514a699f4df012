#pragma once

#include "parallel/comm/communicator.h"

#include <memory>

namespace retinue::test {

/// A communicator of device memory that takes host memory: tensors are copied to the device,
/// `inner` is called and waited for, and what it wrote is copied back. A stream that is none of the
/// host's is handed on as one that `inner` does not serve.
std::unique_ptr<Communicator> on_device(std::unique_ptr<Communicator> inner, Device device);

}  // namespace retinue::test
