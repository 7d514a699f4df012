#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// x[targets[i], :] += source[rows[i], :], one rounding: DeepStack.
/// Meng et al. 2024, arXiv:2406.04334; HF _deepstack_process.
///   source   [features, hidden]  f32 | bf16   rows may be strided (one tap of VisualFeatures)
///   rows     [n]                 i32          row of source
///   targets  [n]                 i32          row of x, each at most once
///   x        [tokens, hidden]    dtype of source
void scatter_add(Context& ctx, ConstTensorView source, ConstTensorView rows,
                 ConstTensorView targets, TensorView x);

namespace detail {
void scatter_add(Cpu, Context& ctx, ConstTensorView source, ConstTensorView rows,
                 ConstTensorView targets, TensorView x);
void scatter_add(Cuda, Context& ctx, ConstTensorView source, ConstTensorView rows,
                 ConstTensorView targets, TensorView x);
}  // namespace detail
}  // namespace retinue::ops
