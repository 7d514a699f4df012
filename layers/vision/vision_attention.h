#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/modules/linear.h"
#include "layers/spec/config.h"

#include <cstdint>
#include <span>
#include <string>

namespace retinue::layers {

/// Bidirectional attention inside one temporal slice of one image or video.
/// HF Qwen3VLVisionAttention.
class VisionAttention {
 public:
  VisionAttention(WeightStore& store, const std::string& prefix, const VisionConfig& config);
  ///   x, y        [patches, hidden]
  ///   cos, sin    [patches, head_dim / 2]   f32
  ///   cu_seqlens  [slices + 1]              prefix sums of the slices' patches; on the host
  void forward(Context& ctx, ConstTensorView x, ConstTensorView cos, ConstTensorView sin,
               std::span<const std::int64_t> cu_seqlens, TensorView y) const;

 private:
  std::int64_t heads_;
  std::int64_t head_dim_;
  Linear qkv_;
  Linear proj_;
};

}  // namespace retinue::layers
