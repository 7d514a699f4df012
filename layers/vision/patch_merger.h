#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/modules/linear.h"
#include "layers/modules/norm.h"
#include "layers/spec/config.h"

#include <string>

namespace retinue::layers {

/// Joins spatial_merge_size² neighbouring patches into one visual token: norm, fc1, gelu, fc2.
/// HF Qwen3VLVisionPatchMerger; use_postshuffle_norm: the norm sees the joined row, not each patch.
class VisionPatchMerger {
 public:
  VisionPatchMerger(WeightStore& store, const std::string& prefix, const VisionConfig& config,
                    bool use_postshuffle_norm);
  ///   x  [patches, hidden]                contiguous
  ///   y  [patches / merge², out_hidden]   rows may be strided
  void forward(Context& ctx, ConstTensorView x, TensorView y) const;

 private:
  std::int64_t unit_;
  bool use_postshuffle_norm_;
  LayerNorm norm_;
  Linear fc1_;
  Linear fc2_;
};

}  // namespace retinue::layers
