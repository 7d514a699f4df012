#include "layers/decoder/decoder_layer.h"

#include "layers/ops/add.h"

namespace retinue::layers {

DecoderLayer::DecoderLayer(WeightStore& store, const std::string& prefix, const TextConfig& config,
                           const TensorAxis& axis)
    : input_layernorm_(store, prefix + ".input_layernorm", config.hidden_size, config.rms_norm_eps),
      self_attn_(store, prefix + ".self_attn", config, axis),
      post_attention_layernorm_(store, prefix + ".post_attention_layernorm", config.hidden_size,
                                config.rms_norm_eps),
      mlp_(store, prefix + ".mlp", config.hidden_size, config.intermediate_size, axis) {}

void DecoderLayer::forward(Context& ctx, ConstTensorView cos, ConstTensorView sin,
                           const StepInputs& inputs, const ops::KvView& cache, TensorView x) const {
  Frame frame(ctx);
  TensorView normed = ctx.alloc(x.shape(), x.dtype());
  TensorView branch = ctx.alloc(x.shape(), x.dtype());
  input_layernorm_.forward(ctx, x, normed);
  self_attn_.forward(ctx, normed, cos, sin, inputs, cache, branch);
  ops::add(ctx, x, branch, x);
  post_attention_layernorm_.forward(ctx, x, normed);
  mlp_.forward(ctx, normed, branch);
  ops::add(ctx, x, branch, x);
}

}  // namespace retinue::layers
