#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/decoder/decoder_attention.h"
#include "layers/modules/gated_mlp.h"

#include <string>

namespace retinue::layers {

/// x += attention(input_layernorm(x)); x += mlp(post_attention_layernorm(x)).
/// HF Qwen3VLTextDecoderLayer.
class DecoderLayer {
 public:
  DecoderLayer(WeightStore& store, const std::string& prefix, const TextConfig& config,
               const TensorAxis& axis);
  /// Every rank of the axis enters, with the same values.
  ///   x       [tokens, hidden]   in place
  ///   normed  [tokens, hidden]   in: input_layernorm() of x. Out: next(x), computed in the pass of
  ///                              the last residual; without `next` undefined
  void forward(Context& ctx, ConstTensorView cos, ConstTensorView sin, const StepInputs& inputs,
               const ops::KvView& cache, TensorView x, TensorView normed,
               const RmsNorm* next) const;
  [[nodiscard]] const RmsNorm& input_layernorm() const { return input_layernorm_; }

 private:
  TensorAxis axis_;
  RmsNorm input_layernorm_;
  DecoderAttention self_attn_;
  RmsNorm post_attention_layernorm_;
  GatedMlp mlp_;
};

}  // namespace retinue::layers
