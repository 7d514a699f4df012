#include "layers/ops/layer_norm.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void layer_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y) {
  check(x.shape().rank() == 2 && x.shape() == y.shape() && x.dtype() == y.dtype(),
        "layer_norm: x is [rows, hidden], y like x");
  check(weight.shape() == Shape{x.dim(-1)} && weight.dtype() == x.dtype(),
        "layer_norm: weight is [hidden]");
  check(bias.shape() == weight.shape() && bias.dtype() == x.dtype(),
        "layer_norm: bias is [hidden]");
  on_backend(ctx, "layer_norm",
             [&](auto backend) { detail::layer_norm(backend, ctx, x, weight, bias, eps, y); });
}

}  // namespace retinue::ops
