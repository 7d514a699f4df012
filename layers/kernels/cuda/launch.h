#pragma once

// Tested through tests/layers/ops/add_test.cpp.

#include "parallel/device/context.h"
#include "parallel/device/cuda/error.h"

#include <cstddef>
#include <cstdint>
#include <cuda_runtime.h>
#include <utility>

namespace retinue::cuda {

inline cudaStream_t stream_of(const Context& ctx) {
  return static_cast<cudaStream_t>(ctx.stream().native());
}

constexpr std::int64_t ceil_div(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }
constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return ceil_div(n, to) * to; }

/// Blocks of a launch. Dimension y and z hold at most 65,535.
struct Grid {
  std::int64_t x = 1, y = 1, z = 1;
};

/// Enqueues a kernel on the context's stream. A grid without blocks enqueues nothing.
///   shared_bytes  dynamic shared memory; above 48 KiB the launch raises the kernel's limit
/// Throws: BugError when the grid does not fit, SystemError when the launch is refused.
template <class... Parameters, class... Arguments>
void launch(Context& ctx, void (*kernel)(Parameters...), Grid grid, int threads,
            std::size_t shared_bytes, Arguments&&... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  check(grid.x <= 0x7FFFFFFF && grid.y <= 65535 && grid.z <= 65535, "a launch has too many blocks");
  constexpr std::size_t kWithoutAsking = std::size_t{48} << 10;
  if (shared_bytes > kWithoutAsking)
    check_cuda(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)),
               "cudaFuncSetAttribute");
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                        static_cast<unsigned>(grid.z));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream_of(ctx);
  check_cuda(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
             "cudaLaunchKernelEx");
}

}  // namespace retinue::cuda
