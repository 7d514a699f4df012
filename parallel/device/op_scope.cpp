#include "parallel/device/op_scope.h"

#include "parallel/base/build_config.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>

namespace retinue {

OpScope::OpScope(const Context& ctx, const char* op) : ctx_(ctx), op_(op) {
  if constexpr (build::kCuda)
    if (ctx_.stream().native() != nullptr) cuda::push_range(op_);
}

OpScope::~OpScope() {
  if constexpr (build::kCuda)
    if (ctx_.stream().native() != nullptr) cuda::pop_range();
}

void OpScope::finish() const {
  if constexpr (build::kCuda) {
    if (ctx_.stream().native() == nullptr) return;
    cuda::check_launch(op_);
    if (!ctx_.waits_after_ops()) return;
    try {
      ctx_.stream().synchronize();
    } catch (const SystemError& error) {
      throw DeviceError(fmt::format("[op] {} failed: {}", op_, error.what()));
    }
  }
}

}  // namespace retinue
