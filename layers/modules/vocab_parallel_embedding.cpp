#include "layers/modules/vocab_parallel_embedding.h"

#include "layers/modules/parallel_linear.h"
#include "layers/ops/cast.h"
#include "layers/ops/embedding.h"

namespace retinue::layers {

void VocabParallelEmbedding::forward(Context& ctx, ConstTensorView ids, TensorView y) const {
  if (axis_.size == 1) {
    ops::embedding(ctx, ids, table_, first_id_, y);
    return;
  }
  // One rank holds the row, the others add -0.0: exact.
  Frame frame(ctx);
  TensorView partial = ctx.alloc(y.shape(), DType::kF32);
  ops::embedding(ctx, ids, table_, first_id_, partial);
  reduce_over(ctx, axis_, partial);
  ops::cast(ctx, partial, y);
}

}  // namespace retinue::layers
