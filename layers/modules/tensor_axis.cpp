#include "layers/modules/tensor_axis.h"

#include "layers/spec/computation.h"
#include "parallel/base/reduce_tree.h"

#include <fmt/format.h>

#include <vector>

namespace retinue::layers {

namespace {

bool fits(int tensor, const TextConfig& text, int leaves) {
  const std::int64_t kv_heads = text.num_key_value_heads;
  return is_tree_size(tensor) && leaves % tensor == 0 && text.num_attention_heads % tensor == 0 &&
         text.intermediate_size % tensor == 0 &&
         vocab_slice(text.vocab_size, tensor - 1, tensor).count > 0 &&
         (kv_heads % tensor == 0 || tensor % kv_heads == 0);
}

/// The cause where the same model without FP8 weights would split so; else nothing.
std::string fp8_cause(int tensor, const ModelConfig& config) {
  ModelConfig plain = config;
  plain.fp8.reset();
  if (!config.fp8 || fits(tensor, config.text, reduction_leaves(config)) ||
      !fits(tensor, config.text, reduction_leaves(plain)))
    return "";
  return fmt::format(
      " The cause is FP8, whose weights have groups of {} inputs: each rank takes as many whole "
      "groups of the {} inputs of o_proj and of the {} of down_proj. In bfloat16 {} ranks share "
      "this model.",
      kFp8Block, config.text.num_attention_heads * config.text.head_dim,
      config.text.intermediate_size, tensor);
}

}  // namespace

void check_tensor_size(int tensor, const ModelConfig& config, int leaves) {
  const TextConfig& text = config.text;
  if (tensor >= 1 && fits(tensor, text, leaves)) return;
  std::string sizes;
  for (int t = 1; t <= leaves; t *= 2)
    if (fits(t, text, leaves)) sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", t);
  throw UsageError(fmt::format(
      "[mesh] num_attention_heads is {}, num_key_value_heads {}, intermediate_size {}, "
      "vocab_size {}, reduction leaves {}: not "
      "divisible by tensor={}.{} Use {} (--tensor-parallel).",
      text.num_attention_heads, text.num_key_value_heads, text.intermediate_size, text.vocab_size,
      leaves, tensor, tensor >= 1 ? fp8_cause(tensor, config) : "", sizes));
}

}  // namespace retinue::layers
