#include "layers/ops/embedding.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void embedding(Context& ctx, ConstTensorView ids, const PackedMatrix& table, std::int64_t first_id,
               TensorView y) {
  check(ids.shape().rank() == 1 && ids.dtype() == DType::kI32, "embedding: ids are [tokens] i32");
  check(y.shape() == Shape({ids.dim(0), table.inputs}), "embedding: y is [tokens, hidden]");
  check(y.dtype() == DType::kF32 || y.dtype() == table.data.dtype(),
        "embedding: y is f32 or like the table");
  on_backend(ctx, "embedding",
             [&](auto backend) { detail::embedding(backend, ctx, ids, table, first_id, y); });
}

}  // namespace retinue::ops
