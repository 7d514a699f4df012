#include "layers/ops/add.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void add(Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y) {
  check(a.shape().rank() == 2 && a.shape() == b.shape() && a.shape() == y.shape() &&
            (b.dtype() == a.dtype() || b.dtype() == DType::kF32) && a.dtype() == y.dtype(),
        "add: a, b and y are alike, but b may be f32");
  on_backend(ctx, "add", [&](auto backend) { detail::add(backend, ctx, a, b, y); });
}

}  // namespace retinue::ops
