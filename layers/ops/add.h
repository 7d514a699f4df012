#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// y = a + b, one rounding: the residual.
///   a, y  [rows, width]  f32 | bf16   y may be a or b
///   b     [rows, width]  dtype of a, or f32: a row-parallel sum, not rounded yet
/// Numerics: an f32 b is rounded to the dtype of a first, as cast would.
void add(Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y);

namespace detail {
void add(Cpu, Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y);
void add(Cuda, Context& ctx, ConstTensorView a, ConstTensorView b, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
