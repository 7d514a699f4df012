#include "layers/vision/vision_rotary.h"

#include "layers/ops/patch_positions.h"
#include "layers/ops/rope.h"
#include "layers/spec/rotary.h"

namespace retinue::layers {

VisionRotary::VisionRotary(const VisionConfig& config) : merge_(config.spatial_merge_size) {
  // Half of the head's pairs for each axis, both with the same frequencies.
  const std::vector<float> one_axis = inverse_frequencies(10000.0, config.head_dim() / 2);
  for (std::int32_t axis = 0; axis < 2; ++axis)
    for (const float f : one_axis) inv_freq_.push_back(f), axis_of_slot_.push_back(axis);
}

void VisionRotary::tables(Context& ctx, std::span<const GridThw> grids, TensorView cos,
                          TensorView sin) const {
  const std::int64_t patches = cos.dim(0);
  Frame frame(ctx);
  TensorView positions = ctx.alloc({2, patches}, DType::kI32);
  std::int64_t at = 0;
  for (const GridThw& grid : grids) {
    ops::patch_positions(ctx, grid.frames, grid.rows, grid.columns, merge_,
                         positions.columns(at, grid.patches()));
    at += grid.patches();
  }
  check(at == patches, "the grids' patches are the rows");
  ops::rope_table(ctx, positions, axis_of_slot_, inv_freq_, 1.0F, DType::kF32, cos, sin);
}

}  // namespace retinue::layers
