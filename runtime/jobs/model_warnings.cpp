#include "runtime/jobs/model_warnings.h"

#include "layers/spec/json_text.h"
#include "layers/weights/content_sample.h"
#include "parallel/base/file.h"
#include "parallel/base/path_error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace retinue::runtime {
namespace {

/// Whether the weights have an output matrix of their own that differs from the embedding, where a
/// sample shows it.
bool has_own_head(const std::string& folder) {
  const std::string head = "lm_head.weight", table = "model.language_model.embed_tokens.weight";
  const layers::Checkpoint checkpoint(folder);
  if (checkpoint.find(head) == nullptr || checkpoint.find(table) == nullptr) return false;
  return layers::describe_tensor(checkpoint, head).substr(head.size()) !=
         layers::describe_tensor(checkpoint, table).substr(table.size());
}

}  // namespace

std::vector<std::string> model_warnings(const RunOptions& options) {
  std::vector<std::string> warnings;
  const std::string& folder = options.model;
  const std::string path = folder + "/config.json";
  const auto config = layers::parse_json<nlohmann::json>(read_file(path, "[config]").value_or(""),
                                                         "[config] " + path);
  if (!config.is_object()) return warnings;
  const std::string index = folder + "/model.safetensors.index.json";
  if (!options.weights.random && exists_at(folder + "/model.safetensors", "[checkpoint]") &&
      exists_at(index, "[checkpoint]"))
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
  const auto& owner_of_tie = text.contains(kTie) ? text : config;
  const bool tied = owner_of_tie.contains(kTie) && owner_of_tie[kTie] == true;
  if (tied && !options.weights.random && has_own_head(folder))
    warnings.push_back(
        fmt::format("[checkpoint] {}: lm_head.weight is not used, though it differs from the "
                    "embedding: config.json ties the two, as transformers 4.57 does then",
                    folder));
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
