#pragma once

#include "parallel/device/device.h"
#include "parallel/device/dtype.h"

#include <optional>
#include <string>

namespace retinue {

/// Where ranks compute.
struct DeviceChoice {
  DeviceType type = DeviceType::kCpu;
  std::string missing = {};  ///< why this machine lacks the GPU that was asked for by name
};

/// The one decision between GPU and CPU.
///   wanted  by name, never replaced; none: a GPU where this machine has one that serves `dtype`
///   dtype   of the computation; GPUs serve bf16. None: not known yet, taken to be served
DeviceChoice choose_device(std::optional<DeviceType> wanted, std::optional<DType> dtype);

/// The GPU of the rank with this number on its host; ranks beyond the number of GPUs share. Needs a
/// GPU.
Device gpu_of_rank(int node_rank);

}  // namespace retinue
