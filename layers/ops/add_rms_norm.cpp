#include "layers/ops/add_rms_norm.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void add_rms_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y) {
  check(x.shape().rank() == 2 && x.shape() == y.shape() && x.dtype() == y.dtype(),
        "add_rms_norm: x is [tokens, hidden], y like x");
  check(
      branch.shape() == x.shape() && (branch.dtype() == x.dtype() || branch.dtype() == DType::kF32),
      "add_rms_norm: branch is [tokens, hidden] of the dtype of x, or f32");
  check(weight.shape() == Shape{x.dim(1)} && weight.dtype() == x.dtype(),
        "add_rms_norm: weight is [hidden]");
  on_backend(ctx, "add_rms_norm",
             [&](auto backend) { detail::add_rms_norm(backend, ctx, x, branch, weight, eps, y); });
}

}  // namespace retinue::ops
