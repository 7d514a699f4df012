#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::layers {

class ConfigSection;

/// Outputs and inputs of a block of e4m3 weights that shares a scale.
inline constexpr std::int64_t kFp8Block = 128;
/// What follows a module's path in the name of the matrix of these scales. Weights are multiplied by
/// them, whatever "inverse" may say.
inline constexpr std::string_view kScaleSuffix = ".weight_scale_inv";

/// The path of a linear layer of the decoder: layer 3, "mlp.down_proj".
std::string decoder_module(std::int64_t layer, std::string_view part);

/// Which linear layers a checkpoint holds as e4m3, as transformers' FineGrainedFP8Config says it:
/// all, but for those whose path contains one of the names of `modules_to_not_convert`.
struct Fp8Weights {
  std::vector<std::string> not_converted;

  ///   module  "model.language_model.layers.0.mlp.down_proj"
  [[nodiscard]] bool covers(std::string_view module) const;
  /// Whether it covers that module of some layer of the decoder: "mlp.down_proj".
  [[nodiscard]] bool covers_in_some_layer(std::string_view part, std::int64_t layers) const;
};

/// Reads quantization_config: quant_method "fp8", e4m3, blocks of 128 x 128, activations scaled as
/// they come. An absent or empty object is none.
/// Throws: UsageError naming the key for every other method and for settings that are not served.
std::optional<Fp8Weights> read_fp8_weights(const ConfigSection& owner);

}  // namespace retinue::layers
