#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/modules/linear.h"
#include "layers/spec/config.h"
#include "layers/spec/inputs.h"
#include "layers/vision/patch_merger.h"
#include "layers/vision/position_embed.h"
#include "layers/vision/vision_block.h"
#include "layers/vision/vision_rotary.h"

#include <span>
#include <vector>

namespace retinue::layers {

/// Patches to embeddings and DeepStack features; whole on every rank, no communication.
/// HF Qwen3VLVisionModel.
class VisionTower {
 public:
  ///   pixel_values  [channels, 256]   f32: the normalised value of each byte of a channel
  VisionTower(WeightStore& store, const VisionConfig& config, std::vector<float> pixel_values);

  ///   patches   [Σ patches, patch_width]   u8   grid after grid, each in merge order
  ///   features  [Σ visual_tokens, (1 + taps) · hidden]
  /// Stages: vision.patch_embed, vision.pos_embed, vision.block.K, vision.deepstack.K,
  /// vision.merger.
  void forward(Context& ctx, ConstTensorView patches, std::span<const GridThw> grids,
               TensorView features) const;

 private:
  VisionConfig config_;
  DType dtype_;
  std::vector<float> pixel_values_;
  Linear patch_embed_;
  VisionPositionEmbed pos_embed_;
  VisionRotary rotary_;
  std::vector<VisionBlock> blocks_;
  VisionPatchMerger merger_;
  std::vector<VisionPatchMerger> deepstack_mergers_;
};

}  // namespace retinue::layers
