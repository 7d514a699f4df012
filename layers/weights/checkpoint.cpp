#include "layers/weights/checkpoint.h"

#include "layers/spec/json_text.h"
#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/path_error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <set>

namespace retinue::layers {

namespace {
constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
}  // namespace

Checkpoint::Checkpoint(const std::string& model_dir) {
  const std::string index_path = model_dir + "/" + kIndex;
  // As transformers: an index beside the whole file is often left over from an earlier model.
  if (exists_at(model_dir + "/" + kWhole, "[checkpoint]")) {
    add(model_dir + "/" + kWhole);
    return;
  }
  if (!exists_at(index_path, "[checkpoint]"))
    throw UsageError(
        fmt::format("[checkpoint] {} holds neither {} nor {}. --model wants a Hugging Face "
                    "checkpoint folder; --weights random makes weights for its configuration.",
                    model_dir, kWhole, kIndex));
  const auto root = parse_json<nlohmann::json>(read_file(index_path, "[checkpoint]").value_or(""),
                                               "[checkpoint] " + index_path);
  if (root.is_discarded() || !root.is_object() || !root.contains("weight_map") ||
      !root["weight_map"].is_object())
    throw UsageError(fmt::format(
        "[checkpoint] {}: no JSON object with a weight_map. Copy it again.", index_path));
  std::set<std::string> shards;
  for (const auto& [name, shard] : root["weight_map"].items()) {
    if (!shard.is_string() || shard.get<std::string>().find('/') != std::string::npos)
      throw UsageError(
          fmt::format("[checkpoint] {}: the shard of {} is no file name", index_path, name));
    shards.insert(shard.get<std::string>());
  }
  for (const std::string& shard : shards) {
    if (!exists_at(model_dir + "/" + shard, "[checkpoint]"))
      throw UsageError(
          fmt::format("[checkpoint] {} names shard {}, which is missing. The copy is incomplete; "
                      "copy it again.",
                      index_path, shard));
    add(model_dir + "/" + shard);
  }
  // A wrong index is found now: later it would look like a missing tensor.
  for (const auto& [name, shard] : root["weight_map"].items()) {
    const auto found = owner_.find(name);
    if (found == owner_.end() || !found->second->path().ends_with("/" + shard.get<std::string>()))
      throw UsageError(fmt::format("[checkpoint] {} says that {} is in {}, which does not hold it",
                                   index_path, name, shard.get<std::string>()));
  }
}

void Checkpoint::add(const std::string& path) {
  files_.push_back(std::make_unique<SafetensorsFile>(path));
  for (const auto& [name, tensor] : files_.back()->tensors())
    if (const auto [at, fresh] = owner_.emplace(name, files_.back().get()); !fresh)
      throw UsageError(
          fmt::format("[checkpoint] tensor {} is in {} and in {}", name, at->second->path(), path));
}

const StoredTensor* Checkpoint::find(const std::string& name) const {
  const auto found = owner_.find(name);
  return found == owner_.end() ? nullptr : &found->second->tensors().at(name);
}

const SafetensorsFile& Checkpoint::file_of(const std::string& name) const {
  return *owner_.at(name);
}

StoredType Checkpoint::leading_type() const {
  const StoredTensor* first = nullptr;
  for (const auto& [name, tensor] : files_.front()->tensors()) {
    const bool is_float = tensor.type == StoredType::kF32 || tensor.type == StoredType::kF16 ||
                          tensor.type == StoredType::kBF16;
    if (is_float && (first == nullptr || tensor.bytes.data() < first->bytes.data()))
      first = &tensor;
  }
  return first != nullptr ? first->type : StoredType::kBF16;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : owner_) names.push_back(name);
  return names;
}

}  // namespace retinue::layers
