#include "layers/ops/gather_rows.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void gather_rows(Context& ctx, ConstTensorView x, ConstTensorView rows, TensorView y) {
  check(rows.shape().rank() == 1 && rows.dtype() == DType::kI32, "gather_rows: rows are [n] i32");
  check(x.shape().rank() == 2 && y.shape() == Shape({rows.dim(0), x.dim(1)}) &&
            x.dtype() == y.dtype(),
        "gather_rows: y is [n, hidden]");
  on_backend(ctx, "gather_rows",
             [&](auto backend) { detail::gather_rows(backend, ctx, x, rows, y); });
}

}  // namespace retinue::ops
