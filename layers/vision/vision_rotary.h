#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/spec/config.h"
#include "layers/spec/inputs.h"
#include "parallel/device/context.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::layers {

/// Angles of a patch: the first half of the slots turns with its row, the second with its column;
/// the same for every temporal slice.  HF Qwen3VLVisionRotaryEmbedding, rot_pos_emb.
class VisionRotary {
 public:
  explicit VisionRotary(const VisionConfig& config);
  ///   cos, sin  [patches, head_dim / 2]   f32, in merge order
  void tables(Context& ctx, std::span<const GridThw> grids, TensorView cos, TensorView sin) const;

 private:
  std::int64_t merge_;
  std::vector<float> inv_freq_;
  std::vector<std::int32_t> axis_of_slot_;
};

}  // namespace retinue::layers
