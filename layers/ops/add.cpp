#include "layers/ops/add.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void add(Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y) {
  check(a.shape().rank() == 2 && a.shape() == b.shape() && a.shape() == y.shape() &&
            a.dtype() == b.dtype() && a.dtype() == y.dtype(),
        "add: a, b and y are alike");
  on_backend(ctx, "add", [&](auto backend) { detail::add(backend, ctx, a, b, y); });
}

}  // namespace retinue::ops
