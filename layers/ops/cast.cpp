#include "layers/ops/cast.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void cast(Context& ctx, ConstTensorView x, TensorView y) {
  check(x.shape().rank() == 2 && x.shape() == y.shape(), "cast: y is like x");
  on_backend(ctx, "cast", [&](auto backend) { detail::cast(backend, ctx, x, y); });
}

}  // namespace retinue::ops
