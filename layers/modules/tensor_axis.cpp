#include "layers/modules/tensor_axis.h"

#include "parallel/base/reduce_tree.h"

#include <fmt/format.h>

#include <vector>

namespace retinue::layers {

void check_tensor_size(int tensor, std::int64_t heads, std::int64_t kv_heads,
                       std::int64_t intermediate, std::int64_t vocab, int leaves) {
  const auto fits = [&](int t) {
    return is_tree_size(t) && leaves % t == 0 && heads % t == 0 && intermediate % t == 0 &&
           vocab_slice(vocab, t - 1, t).count > 0 && (kv_heads % t == 0 || t % kv_heads == 0);
  };
  if (tensor >= 1 && fits(tensor)) return;
  std::string sizes;
  for (int t = 1; t <= leaves; t *= 2)
    if (fits(t)) sizes += fmt::format("{}{}", sizes.empty() ? "" : ", ", t);
  throw UsageError(
      fmt::format("[mesh] num_attention_heads is {}, num_key_value_heads {}, intermediate_size {}, "
                  "vocab_size {}, reduction leaves {}: not "
                  "divisible by tensor={}. Use {} (--tensor-parallel).",
                  heads, kv_heads, intermediate, vocab, leaves, tensor, sizes));
}

}  // namespace retinue::layers
