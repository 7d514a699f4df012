#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

class MatmulInput;

/// y = round(x / sqrt(mean(x²) + eps)) · weight, over the innermost dimension.
/// Zhang & Sennrich 2019, arXiv:1910.07467; HF Qwen3VLTextRMSNorm.
///   x, y    [tokens, hidden] | [tokens, heads, head_dim]  f32 | bf16   rows may be strided; y may
///                                                                      be x
///   weight  [hidden] | [head_dim]                         dtype of x
/// Numerics: f32; the sum of squares in sixteen lanes, then a fixed tree; rounds to the dtype of x
///           before it multiplies by weight, as the reference does.
void rms_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, float eps, TensorView y);
/// For the product that reads y (matmul_input.h). x is [tokens, hidden] and does not overlap y.
void rms_norm(Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              const MatmulInput& y);

namespace detail {
void rms_norm(Cpu, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              TensorView y);
void rms_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              TensorView y);
void rms_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              const MatmulInput& y);
}  // namespace detail
}  // namespace retinue::ops
