#include "layers/ops/silu_mul.h"

#include "layers/ops/dispatch.h"
#include "layers/ops/matmul_input.h"

namespace retinue::ops {

void silu_mul(Context& ctx, ConstTensorView gate_up, TensorView y) {
  check(gate_up.shape().rank() == 2 && y.shape().rank() == 2 && gate_up.dtype() == y.dtype() &&
            y.dim(0) == gate_up.dim(0) && 2 * y.dim(1) == gate_up.dim(1),
        "silu_mul: gate_up is [tokens, 2 · intermediate], y [tokens, intermediate]");
  on_backend(ctx, "silu_mul", [&](auto backend) { detail::silu_mul(backend, ctx, gate_up, y); });
}

void silu_mul(Context& ctx, ConstTensorView gate_up, const MatmulInput& y) {
  if (!y.is_quantized()) return silu_mul(ctx, gate_up, y.tensor());
  check(gate_up.shape() == Shape({y.rows(), 2 * y.inputs()}) && gate_up.dtype() == y.dtype(),
        "silu_mul: gate_up is [tokens, 2 · intermediate], y [tokens, intermediate]");
  on_cuda(ctx, "silu_mul", [&](auto cuda) { detail::silu_mul(cuda, ctx, gate_up, y); });
}

}  // namespace retinue::ops
