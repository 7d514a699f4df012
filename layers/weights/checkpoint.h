#pragma once

#include "layers/weights/safetensors.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace retinue::layers {

/// The tensors of a Hugging Face folder: model.safetensors, or the shards that
/// model.safetensors.index.json names.
class Checkpoint {
 public:
  /// Throws: UsageError for a missing shard, a wrong index, or a tensor in two shards.
  explicit Checkpoint(const std::string& model_dir);

  /// Null when there is none of this name.
  [[nodiscard]] const StoredTensor* find(const std::string& name) const;
  /// The file that holds it.
  [[nodiscard]] const SafetensorsFile& file_of(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;
  /// The type of the first tensor of the first file that holds no integers, which is what
  /// dtype="auto" of transformers 4.57 takes where config.json names none; BF16 without any.
  [[nodiscard]] StoredType leading_type() const;

 private:
  void add(const std::string& path);

  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, const SafetensorsFile*> owner_;
};

}  // namespace retinue::layers
