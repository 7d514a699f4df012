#pragma once

#include "parallel/device/context.h"

#include <cstdint>
#include <span>

namespace retinue::ops {

/// y = softmax(q · kᵀ · scale) · v inside each segment: every row sees all rows of its own segment.
/// Vaswani et al. 2017, arXiv:1706.03762; HF Qwen3VLVisionAttention, where a segment is one
/// temporal slice.
///   q, k, v     [patches, heads, head_dim]   f32 | bf16   rows may be strided (slices of one qkv)
///   cu_seqlens  [segments + 1]               prefix sums of the segments' lengths; on the host
///   y           [patches, heads · head_dim]  dtype of q
/// Numerics: scores, maximum and sums in f32; probabilities are rounded to the dtype before they
///           multiply v; keys in tiles of 128 and splits of 512 from the segment's start.
void attention(Context& ctx, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::span<const std::int64_t> cu_seqlens, float scale, TensorView y);

namespace detail {
std::size_t attention_scratch_bytes(Device device, DType dtype, int threads, std::int64_t longest,
                                    std::int64_t head_dim);
void attention(Cpu, Context& ctx, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::span<const std::int64_t> cu_seqlens, float scale, TensorView y,
               std::byte* scratch);
void attention(Cuda, Context& ctx, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::span<const std::int64_t> cu_seqlens, float scale, TensorView y,
               std::byte* scratch);
}  // namespace detail
}  // namespace retinue::ops
