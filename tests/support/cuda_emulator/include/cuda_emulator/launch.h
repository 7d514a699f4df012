#pragma once

#include "cuda_emulator/runtime_types.h"

#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cuda_emulator {

/// A kernel with bound arguments, called once per emulated thread.
using KernelBody = std::function<void()>;

/// Checks the launch as CUDA does and enqueues it. `parameter_bytes` is the size of all parameters.
cudaError_t launch_kernel(const cudaLaunchConfig_t& config, const void* kernel,
                          std::size_t parameter_bytes, KernelBody body);

}  // namespace cuda_emulator

/// Copies the arguments, converted to the parameters' types, at the call, as CUDA does.
template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<std::remove_cvref_t<Parameters>> && ...),
                "CUDA copies kernel parameters byte by byte");
  static_assert((!std::is_reference_v<Parameters> && ...), "kernels take parameters by value");
  std::tuple<std::remove_cv_t<Parameters>...> bound(std::forward<Arguments>(arguments)...);
  return cuda_emulator::launch_kernel(*config, reinterpret_cast<const void*>(kernel),
                                      (std::size_t{0} + ... + sizeof(Parameters)),
                                      [kernel, bound]() { std::apply(kernel, bound); });
}
