#include "layers/ops/rms_norm.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void rms_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, float eps, TensorView y) {
  check((x.shape().rank() == 2 || x.shape().rank() == 3) && x.shape() == y.shape() &&
            x.dtype() == y.dtype(),
        "rms_norm: x is [tokens, hidden] or [tokens, heads, head_dim], y like x");
  check(weight.shape() == Shape{x.dim(-1)} && weight.dtype() == x.dtype(),
        "rms_norm: weight is [hidden]");
  on_backend(ctx, "rms_norm",
             [&](auto backend) { detail::rms_norm(backend, ctx, x, weight, eps, y); });
}

}  // namespace retinue::ops
