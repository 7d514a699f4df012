#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/spec/config.h"
#include "layers/spec/inputs.h"
#include "layers/weights/weight_store.h"

#include <span>

namespace retinue::layers {

/// Learned positions of a square grid, interpolated to each image's own grid; never sharded.
/// HF Qwen3VLVisionModel.fast_pos_embed_interpolate.
class VisionPositionEmbed {
 public:
  VisionPositionEmbed(WeightStore& store, const VisionConfig& config);
  /// Adds to x [patches, hidden], whose rows are the grids' patches one after the other.
  void add_to(Context& ctx, std::span<const GridThw> grids, TensorView x) const;

 private:
  std::int64_t merge_;
  ConstTensorView table_;
};

}  // namespace retinue::layers
