#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// x = x + branch; y = layer_norm(x): a residual and the norm after it, in one pass over memory.
///   x, branch     [rows, hidden]  f32 | bf16   x in place; rows may be strided
///   weight, bias  [hidden]        dtype of x
///   y             [rows, hidden]  dtype of x   overlaps neither x nor branch
/// Numerics: the bits of add and layer_norm one after the other.
void add_layer_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                    ConstTensorView bias, float eps, TensorView y);

namespace detail {
void add_layer_norm(Cpu, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                    ConstTensorView bias, float eps, TensorView y);
void add_layer_norm(Cuda, Context& ctx, TensorView x, ConstTensorView branch,
                    ConstTensorView weight, ConstTensorView bias, float eps, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
