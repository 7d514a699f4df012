#include "cuda_emulator/runtime_api.h"
#include "tests/support/cuda_emulator/src/block_executor.h"
#include "tests/support/cuda_emulator/src/capture.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/last_error.h"
#include "tests/support/cuda_emulator/src/stream.h"
#include "tests/support/cuda_emulator/src/symbol_name.h"

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>

namespace cuda_emulator {
namespace {

constexpr int kSharedWithoutAsking = 48 << 10;
constexpr std::size_t kMaxParameterBytes = 4096;

std::mutex mutex;

/// The attributes that cudaFuncSetAttribute has set, by kernel.
std::map<const void*, int>& dynamic_shared_limits() {
  static auto* map = new std::map<const void*, int>;
  return *map;
}

int dynamic_shared_limit(const void* kernel) {
  const std::lock_guard lock(mutex);
  const auto found = dynamic_shared_limits().find(kernel);
  return found == dynamic_shared_limits().end() ? kSharedWithoutAsking : found->second;
}

bool fits(const dim3& grid, const dim3& block) {
  return grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7FFFFFFF && grid.y <= 65535 &&
         grid.z <= 65535 && block.x >= 1 && block.y >= 1 && block.z >= 1 && block.x <= 1024 &&
         block.y <= 1024 && block.z <= 64 &&
         std::uint64_t{block.x} * block.y * block.z <= kMaxThreadsPerBlock;
}

cudaError_t check_attributes(const cudaLaunchConfig_t& config) {
  for (unsigned int i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    switch (attribute.id) {
      case cudaLaunchAttributeIgnore:
      case cudaLaunchAttributeAccessPolicyWindow:
      case cudaLaunchAttributePriority:
      case cudaLaunchAttributeProgrammaticStreamSerialization:
        break;
      case cudaLaunchAttributeClusterDimension: {
        const auto& cluster = attribute.val.clusterDim;
        if (cluster.x != 1 || cluster.y != 1 || cluster.z != 1) return cudaErrorNotSupported;
        break;
      }
      default:
        return cudaErrorNotSupported;
    }
  }
  return cudaSuccess;
}

}  // namespace

cudaError_t launch_kernel(const cudaLaunchConfig_t& config, const void* kernel,
                          std::size_t parameter_bytes, KernelBody body) {
  if (inside_host_function()) return finish(cudaErrorNotPermitted);
  if (kernel == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  const auto stream = find_stream(config.stream);
  if (stream == nullptr || stream->device != current_device()) {
    return finish(cudaErrorInvalidResourceHandle);
  }
  if (!fits(config.gridDim, config.blockDim)) return finish(cudaErrorInvalidConfiguration);
  if (config.dynamicSmemBytes > static_cast<std::size_t>(dynamic_shared_limit(kernel))) {
    return finish(cudaErrorInvalidValue);
  }
  if (parameter_bytes > kMaxParameterBytes) return finish(cudaErrorInvalidValue);
  if (const cudaError_t error = check_attributes(config); error != cudaSuccess)
    return finish(error);
  auto launch = std::make_shared<Launch>();
  launch->kernel = kernel;
  launch->grid = config.gridDim;
  launch->block = config.blockDim;
  launch->dynamic_shared_bytes = config.dynamicSmemBytes;
  launch->body = std::move(body);
  return finish(enqueue(stream, work_once("a kernel", [launch] { run_launch(*launch); })));
}

}  // namespace cuda_emulator

using namespace cuda_emulator;

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (function == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || value > shared_bytes_per_block(capability()))
    return finish(cudaErrorInvalidValue);
  const std::lock_guard lock(mutex);
  dynamic_shared_limits()[function] = value;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (function == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  *attributes = {};
  attributes->maxThreadsPerBlock = static_cast<int>(kMaxThreadsPerBlock);
  attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 90;
  attributes->maxDynamicSharedSizeBytes = dynamic_shared_limit(function);
  attributes->preferredShmemCarveout = cudaSharedmemCarveoutDefault;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                          int block_size,
                                                          std::size_t dynamic_shared_bytes) {
  if (function == nullptr) return finish(cudaErrorInvalidDeviceFunction);
  if (block_size < 1 || block_size > static_cast<int>(kMaxThreadsPerBlock)) {
    return finish(cudaErrorInvalidValue);
  }
  constexpr std::size_t kReservedPerBlock = 1 << 10;
  const auto most = static_cast<std::size_t>(shared_bytes_per_block(capability()));
  const int by_threads = 2048 / ((block_size + 31) / 32 * 32);
  const auto by_shared =
      static_cast<int>((most + kReservedPerBlock) / (dynamic_shared_bytes + kReservedPerBlock));
  *blocks = dynamic_shared_bytes > most ? 0 : std::min({by_threads, by_shared, 32});
  return cudaSuccess;
}
