#include "layers/vision/vision_block.h"

#include "layers/ops/add.h"
#include "layers/ops/gelu.h"

namespace retinue::layers {

namespace {
constexpr float kEps = 1e-6F;
}

VisionBlock::VisionBlock(WeightStore& store, const std::string& prefix, const VisionConfig& config)
    : norm1_(store, prefix + ".norm1", config.hidden_size, kEps),
      attn_(store, prefix + ".attn", config),
      norm2_(store, prefix + ".norm2", config.hidden_size, kEps),
      fc1_(store, prefix + ".mlp.linear_fc1", Shape{config.intermediate_size, config.hidden_size}),
      fc2_(store, prefix + ".mlp.linear_fc2", Shape{config.hidden_size, config.intermediate_size}) {
}

void VisionBlock::forward(Context& ctx, ConstTensorView cos, ConstTensorView sin,
                          std::span<const std::int64_t> cu_seqlens, TensorView x) const {
  Frame frame(ctx);
  TensorView normed = ctx.alloc(x.shape(), x.dtype());
  TensorView branch = ctx.alloc(x.shape(), x.dtype());
  norm1_.forward(ctx, x, normed);
  attn_.forward(ctx, normed, cos, sin, cu_seqlens, branch);
  norm2_.forward_after_add(ctx, x, branch, normed);
  TensorView inner = ctx.alloc({x.dim(0), fc1_.outputs()}, x.dtype());
  fc1_.forward(ctx, normed, inner);
  ops::gelu(ctx, inner, ops::Gelu::kTanh, inner);
  fc2_.forward(ctx, inner, branch);
  ops::add(ctx, x, branch, x);
}

}  // namespace retinue::layers
