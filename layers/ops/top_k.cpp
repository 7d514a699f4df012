#include "layers/ops/top_k.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void top_k(Context& ctx, ConstTensorView logits, std::int64_t first_id, TensorView values,
           TensorView ids) {
  check(
      logits.shape().rank() == 2 && values.shape() == ids.shape() && values.dim(0) == logits.dim(0),
      "top_k: one row of values and ids per row of logits");
  check(values.dtype() == DType::kF32 && ids.dtype() == DType::kI32,
        "top_k: values are f32, ids i32");
  check(values.dim(1) >= 1 && values.dim(1) <= logits.dim(1),
        "top_k: k is at most the number of logits");
  on_backend(ctx, "top_k",
             [&](auto backend) { detail::top_k(backend, ctx, logits, first_id, values, ids); });
}

}  // namespace retinue::ops
