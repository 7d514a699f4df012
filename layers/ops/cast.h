#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// y = x in the dtype of y, rounded to nearest even.
///   x  [rows, width]  f32 | bf16
///   y  [rows, width]  f32 | bf16
void cast(Context& ctx, ConstTensorView x, TensorView y);

namespace detail {
void cast(Cpu, Context& ctx, ConstTensorView x, TensorView y);
void cast(Cuda, Context& ctx, ConstTensorView x, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
