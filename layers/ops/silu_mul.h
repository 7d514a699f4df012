#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

class MatmulInput;

/// y = round(silu(gate)) · up, silu(x) = x · σ(x).
/// Shazeer 2020, arXiv:2002.05202; HF Qwen3VLTextMLP.
///   gate_up  [tokens, 2 · intermediate_per_rank]  f32 | bf16   gate, then up
///   y        [tokens, intermediate_per_rank]      dtype of gate_up
/// Numerics: silu in f32, rounded to the dtype before the product, as in the reference.
void silu_mul(Context& ctx, ConstTensorView gate_up, TensorView y);
/// For the product that reads y (matmul_input.h).
void silu_mul(Context& ctx, ConstTensorView gate_up, const MatmulInput& y);

namespace detail {
void silu_mul(Cpu, Context& ctx, ConstTensorView gate_up, TensorView y);
void silu_mul(Cuda, Context& ctx, ConstTensorView gate_up, TensorView y);
void silu_mul(Cuda, Context& ctx, ConstTensorView gate_up, const MatmulInput& y);
}  // namespace detail
}  // namespace retinue::ops
