#include "layers/ops/norm_rope_kv_write.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void norm_rope_kv_write(Context& ctx, const QkvStep& s, const KvView& cache) {
  check(cache.has_its_shape(),
        "norm_rope_kv_write: the cache is [blocks, kv_heads_per_rank, head_numel]");
  check(cache.head_dim % 16 == 0 && cache.head_dim <= 256,
        "norm_rope_kv_write: head_dim is 16 to 256 in sixteens");
  check(s.q.shape().rank() == 3 && s.q.dim(2) == cache.head_dim,
        "norm_rope_kv_write: q is [tokens, heads_per_rank, head_dim]");
  const std::int64_t tokens = s.q.dim(0);
  check(s.k.shape() == Shape({tokens, cache.kv_heads_per_rank, cache.head_dim}) &&
            s.k.shape() == s.v.shape(),
        "norm_rope_kv_write: k and v are [tokens, kv_heads_per_rank, head_dim]");
  check(s.q_weight.shape() == Shape{cache.head_dim} && s.k_weight.shape() == s.q_weight.shape(),
        "norm_rope_kv_write: weights are [head_dim]");
  for (const ConstTensorView& view : {ConstTensorView(s.q), s.k, s.v, s.q_weight, s.k_weight})
    check(view.dtype() == s.q.dtype() && cache.keeps(view.dtype()),
          "norm_rope_kv_write: one dtype");
  check(s.cos.shape() == Shape({tokens, cache.head_dim / 2}) && s.cos.shape() == s.sin.shape() &&
            s.cos.dtype() == DType::kF32 && s.sin.dtype() == DType::kF32,
        "norm_rope_kv_write: cos and sin are [tokens, head_dim / 2] f32");
  check(s.slot_mapping.shape() == Shape{tokens} && s.slot_mapping.dtype() == DType::kI32,
        "norm_rope_kv_write: slot_mapping is [tokens] i32");
  on_backend(ctx, "norm_rope_kv_write",
             [&](auto backend) { detail::norm_rope_kv_write(backend, ctx, s, cache); });
}

}  // namespace retinue::ops
