#pragma once

#include "parallel/device/context.h"

#include <cstdint>
#include <span>

namespace retinue::ops {

/// cos and sin of position · inv_freq for each slot, the position taken from the slot's own axis.
/// Su et al. 2021, arXiv:2104.09864; M-RoPE: HF Qwen3VLTextRotaryEmbedding.apply_interleaved_mrope;
/// vision: HF Qwen3VLVisionRotaryEmbedding.
///   positions     [axes, tokens]   i32
///   axis_of_slot  [slots]          i32   the axis of a slot's position; host; model constant
///   inv_freq      [slots]          f32   host; model constant
///   scale         factor on cos and sin
///   cos, sin      [tokens, slots]  f32   bf16 values where `rounded_to` is bf16
/// Numerics: the angle is an f32 product, as in the reference; cos and sin of it are rounded once.
void rope_table(Context& ctx, ConstTensorView positions, std::span<const std::int32_t> axis_of_slot,
                std::span<const float> inv_freq, float scale, DType rounded_to, TensorView cos,
                TensorView sin);

/// Where a rotation of bf16 values rounds.
enum class RopeRounding {
  kOnce,      ///< vision: in f32 throughout, one rounding
  kEachStep,  ///< text: both products and their sum
};

/// Turns the pairs (j, j + head_dim/2) of each head, in place.
///   x         [tokens, heads, head_dim]  f32 | bf16   rows may be strided
///   cos, sin  [tokens, head_dim / 2]     f32
void rope(Context& ctx, TensorView x, ConstTensorView cos, ConstTensorView sin,
          RopeRounding rounding);

namespace detail {
void rope_table(Cpu, Context& ctx, ConstTensorView positions,
                std::span<const std::int32_t> axis_of_slot, std::span<const float> inv_freq,
                float scale, DType rounded_to, TensorView cos, TensorView sin);
void rope_table(Cuda, Context& ctx, ConstTensorView positions,
                std::span<const std::int32_t> axis_of_slot, std::span<const float> inv_freq,
                float scale, DType rounded_to, TensorView cos, TensorView sin);
void rope(Cpu, Context& ctx, TensorView x, ConstTensorView cos, ConstTensorView sin,
          RopeRounding rounding);
void rope(Cuda, Context& ctx, TensorView x, ConstTensorView cos, ConstTensorView sin,
          RopeRounding rounding);
}  // namespace detail
}  // namespace retinue::ops
