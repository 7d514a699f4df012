#include "layers/weights/safetensors_writer.h"

#include "layers/weights/safetensors_stream.h"
#include "parallel/base/check.h"

namespace retinue::layers {

void SafetensorsWriter::add(const std::string& name, StoredType type, const Shape& shape,
                            std::span<const std::byte> bytes) {
  check(static_cast<std::size_t>(shape.numel()) * size_bytes(type) == bytes.size(),
        "values fill the shape");
  const bool fresh =
      tensors_.emplace(name, Entry{type, shape, {bytes.begin(), bytes.end()}}).second;
  check(fresh, "a tensor is added once");
}

void SafetensorsWriter::add(const std::string& name, const Shape& shape,
                            std::span<const float> values) {
  add(name, StoredType::kF32, shape, std::as_bytes(values));
}

void SafetensorsWriter::add(const std::string& name, const Shape& shape,
                            std::span<const std::int64_t> values) {
  add(name, StoredType::kI64, shape, std::as_bytes(values));
}

void SafetensorsWriter::write(const std::string& path) const {
  std::vector<SafetensorsStream::Entry> entries;
  for (const auto& [name, entry] : tensors_) entries.push_back({name, entry.type, entry.shape});
  SafetensorsStream stream(path, entries, metadata_);
  for (const auto& [name, entry] : tensors_) stream.write(entry.bytes);
  stream.finish();
}

}  // namespace retinue::layers
