#include "layers/ops/add_layer_norm.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void add_layer_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                    ConstTensorView bias, float eps, TensorView y) {
  check(x.shape().rank() == 2 && x.shape() == branch.shape() && x.shape() == y.shape() &&
            x.dtype() == branch.dtype() && x.dtype() == y.dtype(),
        "add_layer_norm: x is [rows, hidden], branch and y like x");
  check(weight.shape() == Shape{x.dim(1)} && weight.dtype() == x.dtype(),
        "add_layer_norm: weight is [hidden]");
  check(bias.shape() == weight.shape() && bias.dtype() == x.dtype(),
        "add_layer_norm: bias is [hidden]");
  on_backend(ctx, "add_layer_norm", [&](auto backend) {
    detail::add_layer_norm(backend, ctx, x, branch, weight, bias, eps, y);
  });
}

}  // namespace retinue::ops
