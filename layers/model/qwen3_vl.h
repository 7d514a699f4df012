#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/decoder/decoder.h"
#include "layers/model/feature_exchange.h"
#include "layers/spec/computation.h"
#include "layers/vision/vision_tower.h"

#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace retinue::layers {

/// Fixed when a model is built.
struct ModelOptions {
  Computation computation;
  std::int64_t kv_blocks = 0;       ///< KV blocks in the cache
  std::int64_t kv_block_size = 32;  ///< tokens per KV block
  std::int64_t feature_rows = 0;    ///< visual tokens whose features are held at once
  std::vector<float> pixel_values;  ///< [channels, 256]: the value of each byte
};

/// One rank's share of a Qwen3-VL: the whole vision tower, a slice of the decoder, its key-value
/// cache and the features of the images in flight.  HF Qwen3VLForConditionalGeneration.
class Qwen3Vl {
 public:
  /// In a context that plans the model has no memory; `source` may then be null, else it is only
  /// asked for names, shapes and types.
  /// Throws: UsageError when config and weights do not fit, SystemError when memory is short.
  Qwen3Vl(Context& ctx, MemoryLedger& ledger, const ModelConfig& config, const TensorAxis& axis,
          WeightSource* source, const ModelOptions& options);

  /// Encodes this rank's images of one exchange and shares them with the replica.
  ///   patches  u8 rows of this rank's images, one image after the other
  ///   mine     their grids
  ///   images   all images of the exchange, on every rank; every rank enters
  void encode(Context& ctx, ConstTensorView patches, std::span<const GridThw> mine,
              std::span<const ExchangedImage> images);

  /// One step of the decoder; every rank of the axis enters.   logits [rows, vocab_per_rank]
  void forward(Context& ctx, const StepInputs& inputs, TensorView logits);

  /// Zeroes KV blocks. The next sequence in them reads whole tiles, and a number that is not finite
  /// would poison it. (Rows of features need no zeroing: they are written before they are read.)
  void zero_blocks(Context& ctx, std::span<const std::int32_t> blocks);

  [[nodiscard]] std::span<const WeightStore::Product> products() const { return store_.products(); }
  [[nodiscard]] const ModelConfig& config() const { return config_; }
  [[nodiscard]] const TensorAxis& axis() const { return axis_; }
  [[nodiscard]] DType dtype() const { return options_.computation.dtype; }
  [[nodiscard]] const ModelOptions& options() const { return options_; }
  [[nodiscard]] std::int64_t first_id() const { return decoder_->first_id(); }
  [[nodiscard]] std::int64_t vocab_per_rank() const { return decoder_->vocab_per_rank(); }
  [[nodiscard]] std::int64_t weight_bytes() const { return store_.bytes(); }
  [[nodiscard]] std::int64_t kv_bytes() const { return kv_bytes_; }
  [[nodiscard]] std::int64_t feature_bytes() const { return feature_bytes_; }
  /// The whole KV cache of this rank.
  [[nodiscard]] ConstTensorView kv() const { return kv_.view(); }
  /// Bytes of one KV block over all layers of one rank.
  static std::int64_t kv_block_bytes(const ModelConfig& config, const TensorAxis& axis,
                                     const ModelOptions& options);

 private:
  ModelConfig config_;
  TensorAxis axis_;
  ModelOptions options_;
  WeightStore store_;
  std::unique_ptr<VisionTower> vision_;
  std::unique_ptr<Decoder> decoder_;
  Tensor kv_;
  Tensor features_;
  TensorView features_view_;
  std::vector<ops::KvView> caches_;
  std::int64_t kv_bytes_ = 0;
  std::int64_t feature_bytes_ = 0;
};

}  // namespace retinue::layers
