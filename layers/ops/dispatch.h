#pragma once

// Tested through tests/layers/ops/plan_mode_test.cpp.

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/op_scope.h"

#include <type_traits>
#include <utility>

namespace retinue::ops {

/// Calls `kernel` with the tag of the context's device: the only place that asks for the device. A
/// build without CUDA does not instantiate that branch. A planning context runs no kernel.
template <class Kernel>
void on_backend(Context& ctx, const char* op, Kernel&& kernel) {
  if (ctx.planning()) return;
  const OpScope scope(ctx, op);
  if (ctx.device().type == DeviceType::kCpu)
    kernel(Cpu{});
  else if constexpr (build::kCuda)
    kernel(Cuda{});
  else
    check(false, "this build has no CUDA backend");
  scope.finish();
}

/// The same for what exists on CUDA alone.
template <class Kernel>
void on_cuda(Context& ctx, const char* op, Kernel&& kernel) {
  check(ctx.device().type == DeviceType::kCuda, "an op of CUDA on another device");
  on_backend(ctx, op, [&](auto backend) {
    if constexpr (std::is_same_v<decltype(backend), Cuda>) kernel(backend);
  });
}

}  // namespace retinue::ops
