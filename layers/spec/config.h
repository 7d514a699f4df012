#pragma once

#include "layers/spec/fp8_weights.h"
#include "parallel/device/dtype.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::layers {

/// The decoder, under the names of Hugging Face's text_config.
struct TextConfig {
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_hidden_layers = 0;
  std::int64_t num_attention_heads = 0;
  std::int64_t num_key_value_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocab_size = 0;
  std::int64_t max_position_embeddings = 0;
  float rms_norm_eps = 1e-6F;
  bool tie_word_embeddings = false;

  double rope_theta = 0;
  std::array<std::int64_t, 3> mrope_section{};  ///< slots of the axes time, height, width
  double yarn_factor = 0;                       ///< 0: plain rotary embedding
  std::int64_t yarn_original_max_position_embeddings = 0;
};

/// The vision tower, under the names of vision_config.
struct VisionConfig {
  std::int64_t depth = 0;
  std::int64_t hidden_size = 0;
  std::int64_t intermediate_size = 0;
  std::int64_t num_heads = 0;
  std::int64_t in_channels = 3;
  std::int64_t patch_size = 0;
  std::int64_t temporal_patch_size = 0;
  std::int64_t spatial_merge_size = 0;
  std::int64_t out_hidden_size = 0;
  std::int64_t num_position_embeddings = 0;
  std::vector<std::int64_t> deepstack_visual_indexes{};

  [[nodiscard]] std::int64_t head_dim() const { return hidden_size / num_heads; }
  [[nodiscard]] std::int64_t patch_width() const {
    return in_channels * temporal_patch_size * patch_size * patch_size;
  }
  [[nodiscard]] std::int64_t merge_unit() const { return spatial_merge_size * spatial_merge_size; }
  [[nodiscard]] std::int64_t taps() const {
    return static_cast<std::int64_t>(deepstack_visual_indexes.size());
  }
  /// Elements of one row of VisualFeatures.
  [[nodiscard]] std::int64_t feature_width() const { return (1 + taps()) * out_hidden_size; }
};

struct ModelConfig {
  TextConfig text;
  VisionConfig vision;
  DType dtype = DType::kBF16;       ///< of the top level, else of text_config
  bool dtype_at_top = false;        ///< else transformers' dtype="auto" is that of the weights
  std::optional<Fp8Weights> fp8{};  ///< of the decoder's linear layers
  std::int64_t image_token_id = 0;
  std::int64_t video_token_id = 0;
  std::int64_t vision_start_token_id = 0;
  std::int64_t vision_end_token_id = 0;
};

/// Reads DIR/config.json of a dense Qwen3-VL, in the spelling of transformers 4.57 (rope_theta and
/// rope_scaling) or 5 (rope_parameters).
/// Throws: UsageError naming file and key for a missing key, a wrong type, sizes that do not fit
///         each other, and models that are not served: mixture of experts, quantised checkpoints
///         other than FP8, other families.
ModelConfig load_model_config(const std::string& model_dir);

/// Reads the text of a config.json; `where` names it in messages.
ModelConfig parse_model_config(std::string_view json, const std::string& where);

}  // namespace retinue::layers
