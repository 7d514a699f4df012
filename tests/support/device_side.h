#pragma once

#include "parallel/comm/communicator.h"

#include <memory>

namespace retinue::test {

/// A device communicator that accepts host memory: it copies tensors to the device, calls `inner`,
/// waits, and copies the results back. A stream that is not the host's is passed on as one that
/// `inner` does not serve.
std::unique_ptr<Communicator> on_device(std::unique_ptr<Communicator> inner, Device device);

}  // namespace retinue::test
