#pragma once

#include "layers/weights/safetensors.h"
#include "parallel/device/shape.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace retinue::layers {

/// Collects tensors and writes them as one safetensors file, in order of name, so that equal
/// tensors give equal bytes.  https://github.com/huggingface/safetensors, format description.
class SafetensorsWriter {
 public:
  /// A name is used once; `values` fill `shape`.
  void add(const std::string& name, const Shape& shape, std::span<const float> values);
  void add(const std::string& name, const Shape& shape, std::span<const std::int64_t> values);
  /// Free text in the header's __metadata__.
  void add_metadata(const std::string& key, const std::string& value) { metadata_[key] = value; }

  /// Writes beside `path` and renames: a file of that name is complete or untouched. The bytes are
  /// on the disk when it returns.
  /// Throws: as SafetensorsStream.
  void write(const std::string& path) const;

 private:
  struct Entry {
    StoredType type = StoredType::kF32;
    Shape shape;
    std::vector<std::byte> bytes;
  };
  void add(const std::string& name, StoredType type, const Shape& shape,
           std::span<const std::byte> bytes);

  std::map<std::string, Entry> tensors_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace retinue::layers
