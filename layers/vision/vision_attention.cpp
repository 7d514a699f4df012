#include "layers/vision/vision_attention.h"

#include "layers/ops/attention.h"
#include "layers/ops/rope.h"

#include <cmath>

namespace retinue::layers {

VisionAttention::VisionAttention(WeightStore& store, const std::string& prefix,
                                 const VisionConfig& config)
    : heads_(config.num_heads),
      head_dim_(config.head_dim()),
      qkv_(store, prefix + ".qkv", Shape{3 * config.hidden_size, config.hidden_size}),
      proj_(store, prefix + ".proj", Shape{config.hidden_size, config.hidden_size}) {}

void VisionAttention::forward(Context& ctx, ConstTensorView x, ConstTensorView cos,
                              ConstTensorView sin, std::span<const std::int64_t> cu_seqlens,
                              TensorView y) const {
  Frame frame(ctx);
  const std::int64_t patches = x.dim(0), width = heads_ * head_dim_;
  TensorView qkv = ctx.alloc({patches, 3 * width}, x.dtype());
  qkv_.forward(ctx, x, qkv);
  const auto heads_of = [&](std::int64_t part) {
    const TensorView columns = qkv.columns(part * width, width);
    return TensorView(columns.bytes(), columns.dtype(), Shape{patches, heads_, head_dim_},
                      columns.row_stride());
  };
  ops::rope(ctx, heads_of(0), cos, sin, ops::RopeRounding::kOnce);
  ops::rope(ctx, heads_of(1), cos, sin, ops::RopeRounding::kOnce);
  TensorView attended = ctx.alloc({patches, width}, x.dtype());
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim_));
  ops::attention(ctx, heads_of(0), heads_of(1), heads_of(2), cu_seqlens, scale, attended);
  proj_.forward(ctx, attended, y);
}

}  // namespace retinue::layers
