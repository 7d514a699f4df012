#include "layers/modules/parallel_linear.h"

#include "layers/ops/cast.h"

namespace retinue::layers {

void reduce_over(Context& ctx, const TensorAxis& axis, TensorView partial) {
  if (axis.size == 1 || ctx.planning()) return;
  check(axis.comm != nullptr, "a tensor axis of several ranks has a communicator");
  axis.comm->all_reduce(ctx.stream(), partial);
}

RowParallelLinear::RowParallelLinear(WeightStore& store, const std::string& name,
                                     std::int64_t outputs, std::int64_t inputs,
                                     const TensorAxis& axis)
    : axis_(axis),
      weight_(store.projection({{name, Shape{outputs, inputs}, 0, outputs}}, axis.first(inputs),
                               axis.per_rank(inputs), axis.leaves_per_rank())) {
  weight_.own_kernel = axis.own_kernel;
  store.will_multiply({weight_, false, branch_dtype(axis, store.dtype()), axis.leaves_per_rank()});
}

DType branch_dtype(const TensorAxis& axis, DType model) {
  return axis.size == 1 ? model : DType::kF32;
}

void RowParallelLinear::forward(Context& ctx, const ops::MatmulInput& x, TensorView y) const {
  if (axis_.size == 1 || y.dtype() == DType::kF32) {
    ops::matmul_tree(ctx, x, weight_, axis_.leaves_per_rank(), y);
    reduce_over(ctx, axis_, y);
    return;
  }
  Frame frame(ctx);
  TensorView partial = ctx.alloc(y.shape(), DType::kF32);
  ops::matmul_tree(ctx, x, weight_, axis_.leaves_per_rank(), partial);
  reduce_over(ctx, axis_, partial);
  ops::cast(ctx, partial, y);
}

}  // namespace retinue::layers
