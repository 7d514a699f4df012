#pragma once

#include "layers/ops/kv_view.h"
#include "parallel/device/context.h"

namespace retinue::ops {

/// A step's projections on their way to attention.
struct QkvStep {
  TensorView q;              ///< [tokens, heads_per_rank, head_dim], in place
  ConstTensorView k;         ///< [tokens, kv_heads_per_rank, head_dim]
  ConstTensorView v;         ///< as k
  ConstTensorView q_weight;  ///< [head_dim], of the norm of each head
  ConstTensorView k_weight;
  float eps = 0;
  ConstTensorView cos;  ///< [tokens, head_dim / 2] f32
  ConstTensorView sin;  ///< as cos
  /// [tokens] i32, as in kv_write. A token may repeat the one before it, slot and values: padding.
  ConstTensorView slot_mapping;
};

/// q = rope(rms_norm(q)); stores rope(rms_norm(k)) and v in their KV blocks: all steps between the
/// projection and attention, in one pass.
/// HF Qwen3VLTextAttention: q_norm, k_norm, apply_rotary_pos_emb, the cache's update.
///   q, k, v, weights  f32 | bf16, all alike   rows may be strided: parts of one projection
///   cache             their dtype, or f8_e4m3
/// Numerics: the bits of rms_norm, rope (RopeRounding::kEachStep) and kv_write one after the other.
void norm_rope_kv_write(Context& ctx, const QkvStep& step, const KvView& cache);

namespace detail {
void norm_rope_kv_write(Cpu, Context& ctx, const QkvStep& step, const KvView& cache);
void norm_rope_kv_write(Cuda, Context& ctx, const QkvStep& step, const KvView& cache);
}  // namespace detail
}  // namespace retinue::ops
