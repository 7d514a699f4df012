#include "layers/ops/rms_norm.h"

#include "layers/ops/dispatch.h"
#include "layers/ops/matmul_input.h"

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

void rms_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              const MatmulInput& y) {
  if (!y.is_quantized()) return rms_norm(ctx, x, weight, eps, y.tensor());
  check(x.shape() == Shape({y.rows(), y.inputs()}) && x.dtype() == y.dtype(),
        "rms_norm: x is [tokens, hidden], y like x");
  check(weight.shape() == Shape{x.dim(1)} && weight.dtype() == x.dtype(),
        "rms_norm: weight is [hidden]");
  on_cuda(ctx, "rms_norm", [&](auto cuda) { detail::rms_norm(cuda, ctx, x, weight, eps, y); });
}

}  // namespace retinue::ops
