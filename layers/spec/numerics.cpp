#include "layers/spec/numerics.h"

#include "parallel/base/hash.h"
#include "parallel/base/reduce_tree.h"

#include <fmt/format.h>

namespace retinue::layers {

int reduction_leaves(const TextConfig& text) {
  constexpr std::int64_t kBlock = 32;
  int leaves = kMaxLeaves;
  while (leaves > 1 && (text.num_attention_heads % leaves != 0 ||
                        text.intermediate_size % (leaves * kBlock) != 0))
    leaves /= 2;
  return leaves;
}

Numerics numerics(const ModelConfig& config, DType dtype, const Context& ctx) {
  // 1: raised whenever a kernel changes the order of a sum or a rounding.
  constexpr int kContract = 1;
  Numerics n;
  n.description = fmt::format(
      "contract {}; {} {}; dtype {}; leaves {} in a binary tree, f32 between ranks; attention "
      "tiles 128, splits 512",
      kContract, ctx.device().type == DeviceType::kCpu ? "cpu" : "cuda", name(ctx.cpu_isa()),
      name(dtype), reduction_leaves(config.text));
  n.fingerprint = sha256_hex(n.description);
  return n;
}

}  // namespace retinue::layers
