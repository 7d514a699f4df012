#pragma once

#include "parallel/device/context.h"

#include <cstdint>
#include <span>

namespace retinue::ops {

/// cos and sin of position · inv_freq for each slot, the position taken from the slot's own axis.
/// Su et al. 2021, arXiv:2104.09864; M-RoPE: HF Qwen3VLTextRotaryEmbedding.apply_interleaved_mrope;
/// vision: HF Qwen3VLVisionRotaryEmbedding.
///   positions     [axes, tokens]   i32
///   axis_of_slot  [slots]          which axis a slot turns with; host, constant of the model
///   inv_freq      [slots]          f32; host, constant of the model
///   cos, sin      [tokens, slots]  f32; with `rounded_to` bf16 the values are bf16 values
/// Numerics: the angle is an f32 product, as in the reference; its cos and sin are those of that
/// f32. Order:    enqueued on ctx.stream(); never blocks; may be captured.   Throws: BugError on
/// shape or dtype.
void rope_table(Context& ctx, ConstTensorView positions, std::span<const std::int32_t> axis_of_slot,
                std::span<const float> inv_freq, float scale, DType rounded_to, TensorView cos,
                TensorView sin);

/// Where a rotation rounds when x is bf16.
enum class RopeRounding {
  kOnce,      ///< vision: in f32 throughout, one rounding
  kEachStep,  ///< text: both products and their sum
};

/// Turns the pairs (j, j + head_dim/2) of each head, in place.
///   x         [tokens, heads, head_dim]  f32 | bf16   rows may be strided
///   cos, sin  [tokens, head_dim / 2]     f32
/// Order:    enqueued on ctx.stream(); never blocks; may be captured.   Throws: BugError on shape
/// or dtype.
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
