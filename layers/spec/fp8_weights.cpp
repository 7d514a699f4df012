#include "layers/spec/fp8_weights.h"

#include "layers/spec/config_section.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace retinue::layers {

namespace {

using nlohmann::json;
constexpr const char* kKey = "quantization_config";
constexpr const char* kAdvice = "Use the FP8 or the bfloat16 checkpoint of the same size.";

void refuse_other_method(const ConfigSection& owner, const std::string& method) {
  if (method == "fp8") return;
  if (method == "FP8" || method == "Fp8")
    owner.fail(kKey, fmt::format("has quant_method \"{}\", wanted \"fp8\" in small letters, as "
                                 "transformers does, too. Correct config.json.",
                                 method));
  const std::string named = method.empty() ? "no quant_method, or an empty one"
                                           : fmt::format("quant_method \"{}\"", method);
  owner.fail(kKey, fmt::format("has {}, and only fp8 (e4m3 in blocks of 128 x 128) is served. {}",
                               named, kAdvice));
}

void refuse_other_settings(const ConfigSection& config) {
  if (const std::string fmt_ = config.text_or("fmt", "e4m3"); fmt_ != "e4m3")
    config.fail("fmt", fmt::format("is \"{}\", only e4m3 is served. {}", fmt_, kAdvice));
  if (const std::string scheme = config.text_or("activation_scheme", "dynamic");
      scheme != "dynamic")
    config.fail("activation_scheme",
                fmt::format("is \"{}\", only dynamic is served. {}", scheme, kAdvice));
  if (config.has("weight_block_size") &&
      config.raw("weight_block_size") != json::array({kFp8Block, kFp8Block}))
    config.fail("weight_block_size", fmt::format("is {}, only [128, 128] is served. {}",
                                                 config.raw("weight_block_size").dump(), kAdvice));
  if (config.has("dequantize") && config.raw("dequantize") != json(false))
    config.fail("dequantize", fmt::format("other than false is not served. {}", kAdvice));
  // Each of the others may change what is computed: DeepSeek's scale_fmt rounds scales to powers of
  // two.
  constexpr std::array kKnown = {"quant_method",      "fmt",        "activation_scheme",
                                 "weight_block_size", "dequantize", "modules_to_not_convert",
                                 "ignored_layers"};
  for (const auto& [key, value] : config.all().items())
    if (!value.is_null() && std::ranges::find(kKnown, key) == kKnown.end())
      config.fail(key,
                  fmt::format("is a setting that is not known here, and may change the result. {}",
                              kAdvice));
}

std::vector<std::string> names(const ConfigSection& config, const char* key) {
  if (!config.has(key)) return {};
  std::vector<std::string> all;
  const json& list = config.raw(key);
  if (!list.is_array()) config.fail(key, "is no list. Copy config.json again.");
  for (const json& name : list) {
    if (!name.is_string() || name.get<std::string>().empty())
      config.fail(key, "is no list of names. Copy config.json again.");
    all.push_back(name.get<std::string>());
  }
  return all;
}

}  // namespace

std::string decoder_module(std::int64_t layer, std::string_view part) {
  return fmt::format("model.language_model.layers.{}.{}", layer, part);
}

bool Fp8Weights::covers(std::string_view module) const {
  return std::ranges::none_of(not_converted, [&](const std::string& name) {
    return module.find(name) != std::string_view::npos;
  });
}

bool Fp8Weights::covers_in_some_layer(std::string_view part, std::int64_t layers) const {
  for (std::int64_t i = 0; i < layers; ++i)
    if (covers(decoder_module(i, part))) return true;
  return false;
}

std::optional<Fp8Weights> read_fp8_weights(const ConfigSection& owner) {
  if (!owner.has(kKey) || (owner.raw(kKey).is_object() && owner.raw(kKey).empty()))
    return std::nullopt;
  if (!owner.raw(kKey).is_object())
    owner.fail(kKey, fmt::format("is {}, wanted an object with quant_method and weight_block_size. "
                                 "Copy config.json again.",
                                 owner.raw(kKey).dump()));
  const ConfigSection config = owner.object(kKey);
  refuse_other_method(owner, config.text_or("quant_method", ""));
  refuse_other_settings(config);
  // transformers keeps the head where no list is given.
  if (!config.has("modules_to_not_convert") && !config.has("ignored_layers"))
    return Fp8Weights{{"lm_head"}};
  Fp8Weights fp8{names(config, "modules_to_not_convert")};
  for (std::string& name : names(config, "ignored_layers"))  // vLLM's name of the same list
    fp8.not_converted.push_back(std::move(name));
  return fp8;
}

}  // namespace retinue::layers
