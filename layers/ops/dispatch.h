#pragma once

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/op_scope.h"

#include <utility>

namespace retinue::ops {

/// The only place that asks which device this is: calls `kernel` with the backend's tag. In a build
/// without CUDA that branch is never instantiated. A planning context runs no kernel.
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

}  // namespace retinue::ops
