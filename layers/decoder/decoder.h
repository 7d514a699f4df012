#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/decoder/decoder_layer.h"
#include "layers/modules/norm.h"
#include "layers/modules/vocab_parallel_embedding.h"
#include "layers/spec/config.h"
#include "layers/spec/features.h"
#include "layers/spec/inputs.h"
#include "layers/spec/rotary.h"

#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace retinue::layers {

/// Ids and visual features to logits.  HF Qwen3VLTextModel and lm_head.
class Decoder {
 public:
  Decoder(WeightStore& store, const TextConfig& config, const TensorAxis& axis);

  /// Every rank of the tensor axis enters, with the same inputs.
  ///   features  rows that inputs.visual_sources names; source i belongs to token visual_rows[i]:
  ///             its embedding replaces the placeholder, layer k adds its tap k to the output
  ///   caches    one per layer
  ///   logits    [rows, vocab_per_rank]   dtype of the model
  /// Stages: embed_tokens, layer.K (after its DeepStack addition), norm.
  void forward(Context& ctx, const StepInputs& inputs, const VisualFeatures& features,
               std::int64_t taps, std::span<const ops::KvView> caches, TensorView logits) const;

  [[nodiscard]] std::int64_t first_id() const { return head().first_id(); }
  [[nodiscard]] std::int64_t vocab_per_rank() const { return head().vocab_per_rank(); }

 private:
  [[nodiscard]] const VocabParallelEmbedding& head() const {
    return lm_head_ ? *lm_head_ : embed_tokens_;
  }

  TextConfig config_;
  DType dtype_;
  TextRotary rotary_;
  VocabParallelEmbedding embed_tokens_;
  std::vector<DecoderLayer> layers_;
  RmsNorm norm_;
  std::optional<VocabParallelEmbedding> lm_head_;  ///< empty: tied to embed_tokens
};

}  // namespace retinue::layers
