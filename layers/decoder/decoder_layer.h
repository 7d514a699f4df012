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
  ///   normed  normed_bytes()     in: what normalize() leaves. Out: what that of `next` would,
  ///                              computed in the pass of the last residual; without it undefined
  void forward(Context& ctx, ConstTensorView cos, ConstTensorView sin, const StepInputs& inputs,
               const ops::KvView& cache, TensorView x, std::byte* normed,
               const DecoderLayer* next) const;
  /// input_layernorm(x), as this layer's attention reads it.
  void normalize(Context& ctx, ConstTensorView x, std::byte* normed) const;
  /// Bytes of normed rows, which are attention's, then the MLP's.
  [[nodiscard]] std::size_t normed_bytes(Device device, std::int64_t tokens) const;

 private:
  [[nodiscard]] ops::MatmulInput attention_input(Device device, std::int64_t tokens,
                                                 std::byte* normed) const {
    return {device, normed, tokens, self_attn_.input_weight()};
  }

  TensorAxis axis_;
  RmsNorm input_layernorm_;
  DecoderAttention self_attn_;
  RmsNorm post_attention_layernorm_;
  GatedMlp mlp_;
};

}  // namespace retinue::layers
