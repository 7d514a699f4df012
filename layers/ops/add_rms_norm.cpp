#include "layers/ops/add_rms_norm.h"

#include "layers/ops/dispatch.h"
#include "layers/ops/matmul_input.h"

namespace retinue::ops {

namespace {

void check_operands(ConstTensorView x, ConstTensorView branch, ConstTensorView weight) {
  check(
      branch.shape() == x.shape() && (branch.dtype() == x.dtype() || branch.dtype() == DType::kF32),
      "add_rms_norm: branch is [tokens, hidden] of the dtype of x, or f32");
  check(weight.shape() == Shape{x.dim(1)} && weight.dtype() == x.dtype(),
        "add_rms_norm: weight is [hidden]");
}

}  // namespace

void add_rms_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y) {
  check(x.shape().rank() == 2 && x.shape() == y.shape() && x.dtype() == y.dtype(),
        "add_rms_norm: x is [tokens, hidden], y like x");
  check_operands(x, branch, weight);
  on_backend(ctx, "add_rms_norm",
             [&](auto backend) { detail::add_rms_norm(backend, ctx, x, branch, weight, eps, y); });
}

void add_rms_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, const MatmulInput& y) {
  if (!y.is_quantized()) return add_rms_norm(ctx, x, branch, weight, eps, y.tensor());
  check(x.shape() == Shape({y.rows(), y.inputs()}) && x.dtype() == y.dtype(),
        "add_rms_norm: x is [tokens, hidden], y like x");
  check_operands(x, branch, weight);
  on_cuda(ctx, "add_rms_norm",
          [&](auto cuda) { detail::add_rms_norm(cuda, ctx, x, branch, weight, eps, y); });
}

}  // namespace retinue::ops
