#include "layers/ops/gelu.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void gelu(Context& ctx, ConstTensorView x, Gelu form, TensorView y) {
  check(x.shape().rank() == 2 && x.shape() == y.shape() && x.dtype() == y.dtype(),
        "gelu: y is like x");
  on_backend(ctx, "gelu", [&](auto backend) { detail::gelu(backend, ctx, x, form, y); });
}

}  // namespace retinue::ops
