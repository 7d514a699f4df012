#include "layers/decoder/decoder_layer.h"

#include "layers/ops/add.h"

namespace retinue::layers {

DecoderLayer::DecoderLayer(WeightStore& store, const std::string& prefix, const TextConfig& config,
                           const TensorAxis& axis)
    : axis_(axis),
      input_layernorm_(store, prefix + ".input_layernorm", config.hidden_size, config.rms_norm_eps),
      self_attn_(store, prefix + ".self_attn", config, axis),
      post_attention_layernorm_(store, prefix + ".post_attention_layernorm", config.hidden_size,
                                config.rms_norm_eps),
      mlp_(store, prefix + ".mlp", config.hidden_size, config.intermediate_size, axis) {}

void DecoderLayer::forward(Context& ctx, ConstTensorView cos, ConstTensorView sin,
                           const StepInputs& inputs, const ops::KvView& cache, TensorView x,
                           TensorView normed, const RmsNorm* next) const {
  Frame frame(ctx);
  TensorView branch = ctx.alloc(x.shape(), branch_dtype(axis_, x.dtype()));
  self_attn_.forward(ctx, normed, cos, sin, inputs, cache, branch);
  post_attention_layernorm_.forward_after_add(ctx, x, branch, normed);
  mlp_.forward(ctx, normed, branch);
  if (next != nullptr)
    next->forward_after_add(ctx, x, branch, normed);
  else
    ops::add(ctx, x, branch, x);
}

}  // namespace retinue::layers
