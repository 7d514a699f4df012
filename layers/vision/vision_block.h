#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/modules/norm.h"
#include "layers/vision/vision_attention.h"

#include <string>

namespace retinue::layers {

/// Pre-norm block: x += attention(norm1(x)); x += fc2(gelu_tanh(fc1(norm2(x)))).
/// HF Qwen3VLVisionBlock.
class VisionBlock {
 public:
  VisionBlock(WeightStore& store, const std::string& prefix, const VisionConfig& config);
  ///   cos, sin, cu_seqlens   as in VisionAttention
  ///   x  [patches, hidden]   in place
  void forward(Context& ctx, ConstTensorView cos, ConstTensorView sin,
               std::span<const std::int64_t> cu_seqlens, TensorView x) const;

 private:
  LayerNorm norm1_;
  VisionAttention attn_;
  LayerNorm norm2_;
  Linear fc1_;
  Linear fc2_;
};

}  // namespace retinue::layers
