#include "layers/decoder/decoder_layer.h"

#include "layers/ops/add.h"

#include <algorithm>

namespace retinue::layers {

DecoderLayer::DecoderLayer(WeightStore& store, const std::string& prefix, const TextConfig& config,
                           const TensorAxis& axis)
    : axis_(axis),
      input_layernorm_(store, prefix + ".input_layernorm", config.hidden_size, config.rms_norm_eps),
      self_attn_(store, prefix + ".self_attn", config, axis),
      post_attention_layernorm_(store, prefix + ".post_attention_layernorm", config.hidden_size,
                                config.rms_norm_eps),
      mlp_(store, prefix + ".mlp", config.hidden_size, config.intermediate_size, axis) {}

void DecoderLayer::normalize(Context& ctx, ConstTensorView x, std::byte* normed) const {
  input_layernorm_.forward(ctx, x, attention_input(ctx.device(), x.dim(0), normed));
}

std::size_t DecoderLayer::normed_bytes(Device device, std::int64_t tokens) const {
  return std::max(ops::MatmulInput::size_bytes(device, tokens, self_attn_.input_weight()),
                  ops::MatmulInput::size_bytes(device, tokens, mlp_.input_weight()));
}

void DecoderLayer::forward(Context& ctx, ConstTensorView cos, ConstTensorView sin,
                           const StepInputs& inputs, const ops::KvView& cache, TensorView x,
                           std::byte* normed, const DecoderLayer* next) const {
  Frame frame(ctx);
  const Device device = ctx.device();
  const std::int64_t tokens = x.dim(0);
  TensorView branch = ctx.alloc(x.shape(), branch_dtype(axis_, x.dtype()));
  self_attn_.forward(ctx, attention_input(device, tokens, normed), cos, sin, inputs, cache, branch);
  const ops::MatmulInput of_mlp(device, normed, tokens, mlp_.input_weight());
  post_attention_layernorm_.forward_after_add(ctx, x, branch, of_mlp);
  mlp_.forward(ctx, of_mlp, branch);
  if (next != nullptr)
    next->input_layernorm_.forward_after_add(ctx, x, branch,
                                             next->attention_input(device, tokens, normed));
  else
    ops::add(ctx, x, branch, x);
}

}  // namespace retinue::layers
