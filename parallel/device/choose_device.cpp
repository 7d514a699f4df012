#include "parallel/device/choose_device.h"

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"

namespace retinue {
namespace {

cuda::Availability usable_gpus() {
  if constexpr (build::kCuda)
    return cuda::availability();
  else
    return {.devices = 0, .reason = "this build has no CUDA"};
}

}  // namespace

DeviceChoice choose_device(std::optional<DeviceType> wanted, std::optional<DType> dtype) {
  if (wanted == DeviceType::kCpu) return {};
  const cuda::Availability gpus = usable_gpus();
  if (wanted == DeviceType::kCuda)
    return {.type = DeviceType::kCuda, .missing = gpus.devices > 0 ? "" : gpus.reason};
  const bool serves = dtype.value_or(DType::kBF16) == DType::kBF16;
  return {.type = gpus.devices > 0 && serves ? DeviceType::kCuda : DeviceType::kCpu};
}

Device gpu_of_rank(int node_rank) {
  const int devices = usable_gpus().devices;
  check(devices > 0, "a rank without a GPU");
  return {DeviceType::kCuda, node_rank % devices};
}

}  // namespace retinue
