#include "layers/vision/vision_tower.h"

#include "layers/ops/patch_normalize.h"

#include <string>

namespace retinue::layers {

namespace {
const std::string kPrefix = "model.visual.";
}

VisionTower::VisionTower(WeightStore& store, const VisionConfig& config,
                         std::vector<float> pixel_values)
    : config_(config),
      dtype_(store.dtype()),
      pixel_values_(std::move(pixel_values)),
      // A convolution whose kernel is its stride is a matmul over flattened patches.
      patch_embed_(store, kPrefix + "patch_embed.proj",
                   Shape{config.hidden_size, config.in_channels, config.temporal_patch_size,
                         config.patch_size, config.patch_size}),
      pos_embed_(store, config),
      rotary_(config),
      merger_(store, kPrefix + "merger", config, false) {
  for (std::int64_t i = 0; i < config.depth; ++i)
    blocks_.emplace_back(store, kPrefix + "blocks." + std::to_string(i), config);
  for (std::int64_t k = 0; k < config.taps(); ++k)
    deepstack_mergers_.emplace_back(store, kPrefix + "deepstack_merger_list." + std::to_string(k),
                                    config, true);
}

void VisionTower::forward(Context& ctx, ConstTensorView patches, std::span<const GridThw> grids,
                          TensorView features) const {
  Frame frame(ctx);
  const std::int64_t rows = patches.dim(0), hidden = config_.out_hidden_size;
  TensorView x = ctx.alloc({rows, config_.hidden_size}, dtype_);
  {
    Frame inner(ctx);
    TensorView values = ctx.alloc(patches.shape(), dtype_);
    ops::patch_normalize(ctx, patches, pixel_values_, values);
    patch_embed_.forward(ctx, values, x);
  }
  ctx.stage("vision.patch_embed", x);
  pos_embed_.add_to(ctx, grids, x);
  ctx.stage("vision.pos_embed", x);

  TensorView cos = ctx.alloc({rows, config_.head_dim() / 2}, DType::kF32);
  TensorView sin = ctx.alloc({rows, config_.head_dim() / 2}, DType::kF32);
  rotary_.tables(ctx, grids, cos, sin);
  std::vector<std::int64_t> cu_seqlens = {0};
  for (const GridThw& grid : grids)
    for (std::int64_t t = 0; t < grid.frames; ++t)
      cu_seqlens.push_back(cu_seqlens.back() + grid.rows * grid.columns);

  std::size_t tap = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks_[i].forward(ctx, cos, sin, cu_seqlens, x);
    ctx.stage("vision.block", static_cast<int>(i), x);
    if (tap < deepstack_mergers_.size() &&
        config_.deepstack_visual_indexes[tap] == static_cast<std::int64_t>(i)) {
      const TensorView feature =
          features.columns((1 + static_cast<std::int64_t>(tap)) * hidden, hidden);
      deepstack_mergers_[tap].forward(ctx, x, feature);
      ctx.stage("vision.deepstack", static_cast<int>(tap), feature);
      ++tap;
    }
  }
  const TensorView embeddings = features.columns(0, hidden);
  merger_.forward(ctx, x, embeddings);
  ctx.stage("vision.merger", embeddings);
}

}  // namespace retinue::layers
