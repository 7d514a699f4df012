#include "layers/decoder/decoder_attention.h"

#include "layers/ops/norm_rope_kv_write.h"
#include "layers/ops/paged_attention.h"

#include <cmath>

namespace retinue::layers {

namespace {

std::vector<MatrixPart> qkv_parts(const std::string& prefix, const TextConfig& c,
                                  const TensorAxis& axis) {
  const Slice kv_heads = axis.shard().kv_slice(c.num_key_value_heads, "num_key_value_heads");
  const std::int64_t q_width = c.num_attention_heads * c.head_dim,
                     kv_width = c.num_key_value_heads * c.head_dim;
  return {{prefix + ".q_proj.weight", Shape{q_width, c.hidden_size}, axis.first(q_width),
           axis.per_rank(q_width)},
          {prefix + ".k_proj.weight", Shape{kv_width, c.hidden_size}, kv_heads.begin * c.head_dim,
           kv_heads.count * c.head_dim},
          {prefix + ".v_proj.weight", Shape{kv_width, c.hidden_size}, kv_heads.begin * c.head_dim,
           kv_heads.count * c.head_dim}};
}

}  // namespace

std::int64_t DecoderAttention::kv_heads_per_rank(const TextConfig& config, const TensorAxis& axis) {
  return axis.shard().kv_slice(config.num_key_value_heads, "num_key_value_heads").count;
}

DecoderAttention::DecoderAttention(WeightStore& store, const std::string& prefix,
                                   const TextConfig& config, const TensorAxis& axis)
    : heads_per_rank_(axis.per_rank(config.num_attention_heads)),
      kv_heads_per_rank_(kv_heads_per_rank(config, axis)),
      head_dim_(config.head_dim),
      qkv_proj_(store, qkv_parts(prefix, config, axis), config.hidden_size),
      q_norm_(store, prefix + ".q_norm", config.head_dim, config.rms_norm_eps),
      k_norm_(store, prefix + ".k_norm", config.head_dim, config.rms_norm_eps),
      o_proj_(store, prefix + ".o_proj.weight", config.hidden_size,
              config.num_attention_heads * config.head_dim, axis) {}

void DecoderAttention::forward(Context& ctx, const ops::MatmulInput& x, ConstTensorView cos,
                               ConstTensorView sin, const StepInputs& inputs,
                               const ops::KvView& cache, TensorView y) const {
  Frame frame(ctx);
  const std::int64_t tokens = x.rows();
  TensorView qkv = ctx.alloc({tokens, qkv_proj_.outputs_per_rank()}, x.dtype());
  qkv_proj_.forward(ctx, x, qkv);
  // q, k and v are columns of one product: views of its rows, not copies.
  const auto heads_of = [&](std::int64_t first_head, std::int64_t heads) {
    const TensorView columns = qkv.columns(first_head * head_dim_, heads * head_dim_);
    return TensorView(columns.bytes(), columns.dtype(), Shape{tokens, heads, head_dim_},
                      columns.row_stride());
  };
  const TensorView q = heads_of(0, heads_per_rank_);
  const TensorView k = heads_of(heads_per_rank_, kv_heads_per_rank_);
  const TensorView v = heads_of(heads_per_rank_ + kv_heads_per_rank_, kv_heads_per_rank_);
  ops::norm_rope_kv_write(
      ctx,
      {q, k, v, q_norm_.weight(), k_norm_.weight(), q_norm_.eps(), cos, sin, inputs.slot_mapping},
      cache);
  const auto attended = ops::MatmulInput::alloc(ctx, tokens, o_proj_.weight());
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
  ops::paged_attention(ctx, q, cache, inputs.block_table, inputs.cu_seqlens, inputs.seq_lens, scale,
                       attended);
  o_proj_.forward(ctx, attended, y);
}

}  // namespace retinue::layers
