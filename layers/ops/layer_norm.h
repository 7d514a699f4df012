#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// y = (x - mean(x)) / sqrt(var(x) + eps) · weight + bias, over the innermost dimension.
/// Ba et al. 2016, arXiv:1607.06450; torch.nn.LayerNorm.
///   x, y          [rows, hidden]  f32 | bf16   y may be x
///   weight, bias  [hidden]        dtype of x
/// Numerics: f32 statistics in two passes (mean, then squares about it), in sixteen lanes and a
///           fixed tree; one rounding at the end.
void layer_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y);

namespace detail {
void layer_norm(Cpu, Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y);
void layer_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
