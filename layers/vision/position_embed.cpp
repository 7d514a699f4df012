#include "layers/vision/position_embed.h"

#include "layers/ops/interpolate.h"

namespace retinue::layers {

VisionPositionEmbed::VisionPositionEmbed(WeightStore& store, const VisionConfig& config)
    : merge_(config.spatial_merge_size),
      table_(store.table("model.visual.pos_embed.weight",
                         Shape{config.num_position_embeddings, config.hidden_size})) {}

void VisionPositionEmbed::add_to(Context& ctx, std::span<const GridThw> grids, TensorView x) const {
  std::int64_t row = 0;
  for (const GridThw& grid : grids) {
    ops::add_interpolated(ctx, table_, grid.frames, grid.rows, grid.columns, merge_,
                          x.rows(row, grid.patches()));
    row += grid.patches();
  }
}

}  // namespace retinue::layers
