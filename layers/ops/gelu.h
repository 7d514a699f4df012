#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

enum class Gelu {
  kTanh,  ///< vision MLP: gelu_pytorch_tanh
  kErf,   ///< mergers: nn.GELU()
};

/// y = x · Φ(x), or its tanh form.  Hendrycks & Gimpel 2016, arXiv:1606.08415.
///   x, y  [rows, width]  f32 | bf16   y may be x
/// Numerics: f32, one rounding.
void gelu(Context& ctx, ConstTensorView x, Gelu form, TensorView y);

namespace detail {
void gelu(Cpu, Context& ctx, ConstTensorView x, Gelu form, TensorView y);
void gelu(Cuda, Context& ctx, ConstTensorView x, Gelu form, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
