#include "runtime/jobs/model_warnings.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace retinue::runtime {

std::vector<std::string> model_warnings(const RunOptions& options) {
  std::vector<std::string> warnings;
  const std::string& folder = options.model;
  std::ifstream file(folder + "/config.json");
  const auto config = nlohmann::json::parse(file, nullptr, false);
  if (!config.is_object()) return warnings;
  const std::string index = folder + "/model.safetensors.index.json";
  if (!options.weights.random && std::filesystem::exists(folder + "/model.safetensors") &&
      std::filesystem::exists(index))
    warnings.push_back(
        fmt::format("[checkpoint] {} is not used: model.safetensors beside it holds the whole "
                    "model, and transformers takes it, too",
                    index));
  const auto text = config.value("text_config", nlohmann::json::object());
  constexpr const char* kTie = "tie_word_embeddings";
  if (config.contains(kTie) && text.contains(kTie) && config[kTie] != text[kTie])
    warnings.push_back(
        fmt::format("[config] {}/config.json: tie_word_embeddings is {}, text_config has {}: "
                    "text_config decides, as in transformers 4.57",
                    folder, config[kTie].dump(), text[kTie].dump()));
  const auto dtype = [](const nlohmann::json& level) {
    const auto plain = level.value("dtype", nlohmann::json());
    return plain.is_null() ? level.value("torch_dtype", nlohmann::json()) : plain;
  };
  const auto owner = dtype(config).is_null() ? dtype(text) : dtype(config);
  if (!options.dtype && (owner == "float16" || owner == "torch.float16"))
    warnings.push_back(
        fmt::format("[config] {}/config.json asks for float16, which is computed as float32: that "
                    "holds every weight exactly. --dtype bfloat16 takes half the memory",
                    folder));
  return warnings;
}

}  // namespace retinue::runtime
