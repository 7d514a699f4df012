#include "layers/spec/computation.h"

namespace retinue::layers {

int reduction_leaves(const ModelConfig& config, int most) {
  const TextConfig& text = config.text;
  const auto block = [&](const char* module, std::int64_t otherwise) {
    return config.fp8 && config.fp8->covers_in_some_layer(module, text.num_hidden_layers)
               ? kFp8Block
               : otherwise;
  };
  const std::int64_t heads_block = block("self_attn.o_proj", 1),
                     mlp_block = block("mlp.down_proj", 32);
  int leaves = most;
  while (leaves > 1 && (text.num_attention_heads % leaves != 0 ||
                        text.num_attention_heads * text.head_dim % (leaves * heads_block) != 0 ||
                        text.intermediate_size % (leaves * mlp_block) != 0))
    leaves /= 2;
  return leaves;
}

std::array<std::int64_t, 2> leaf_inputs(const ModelConfig& config, int leaves) {
  const TextConfig& text = config.text;
  return {text.num_attention_heads * text.head_dim / leaves, text.intermediate_size / leaves};
}

}  // namespace retinue::layers
