#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// x[targets[i], :] = source[rows[i], :]: image embeddings over their placeholders.
/// HF masked_scatter.
///   source   [features, hidden]  f32 | bf16   rows may be strided (one tap of VisualFeatures)
///   rows     [n]                 i32          row of source
///   targets  [n]                 i32          row of x, each at most once
///   x        [tokens, hidden]    dtype of source
void scatter_rows(Context& ctx, ConstTensorView source, ConstTensorView rows,
                  ConstTensorView targets, TensorView x);

namespace detail {
void scatter_rows(Cpu, Context& ctx, ConstTensorView source, ConstTensorView rows,
                  ConstTensorView targets, TensorView x);
void scatter_rows(Cuda, Context& ctx, ConstTensorView source, ConstTensorView rows,
                  ConstTensorView targets, TensorView x);
}  // namespace detail
}  // namespace retinue::ops
