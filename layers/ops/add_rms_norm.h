#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

class MatmulInput;

/// x = x + branch; y = rms_norm(x): a residual and the norm after it, in one pass over memory.
///   x       [tokens, hidden]  f32 | bf16   in place; rows may be strided
///   branch  [tokens, hidden]  dtype of x, or f32: a row-parallel sum, not rounded yet
///   weight  [hidden]          dtype of x
///   y       [tokens, hidden]  dtype of x   overlaps neither x nor branch
/// Numerics: the bits of cast (of an f32 branch), add and rms_norm one after the other.
void add_rms_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y);
/// For the product that reads y (matmul_input.h).
void add_rms_norm(Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, const MatmulInput& y);

namespace detail {
void add_rms_norm(Cpu, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y);
void add_rms_norm(Cuda, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y);
void add_rms_norm(Cuda, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, const MatmulInput& y);
}  // namespace detail
}  // namespace retinue::ops
