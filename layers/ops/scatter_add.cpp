#include "layers/ops/scatter_add.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void scatter_add(Context& ctx, ConstTensorView source, ConstTensorView rows,
                 ConstTensorView targets, TensorView x) {
  check(source.shape().rank() == 2 && x.shape().rank() == 2 && source.dim(1) == x.dim(1) &&
            source.dtype() == x.dtype(),
        "scatter_add: source and x have rows of one kind");
  check(rows.shape() == targets.shape() && rows.dtype() == DType::kI32 &&
            targets.dtype() == DType::kI32,
        "scatter_add: rows and targets are [n] i32");
  on_backend(ctx, "scatter_add",
             [&](auto backend) { detail::scatter_add(backend, ctx, source, rows, targets, x); });
}

}  // namespace retinue::ops
