#include "layers/weights/safetensors_writer.h"

#include "parallel/base/check.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace retinue::layers {

void SafetensorsWriter::add(const std::string& name, const char* type, const Shape& shape,
                            std::span<const std::byte> bytes, std::size_t element_bytes) {
  check(static_cast<std::size_t>(shape.numel()) * element_bytes == bytes.size(),
        "values fill the shape");
  const bool fresh =
      tensors_.emplace(name, Entry{type, shape, {bytes.begin(), bytes.end()}}).second;
  check(fresh, "a tensor is added once");
}

void SafetensorsWriter::add(const std::string& name, const Shape& shape,
                            std::span<const float> values) {
  add(name, "F32", shape, std::as_bytes(values), sizeof(float));
}

void SafetensorsWriter::add(const std::string& name, const Shape& shape,
                            std::span<const std::int64_t> values) {
  add(name, "I64", shape, std::as_bytes(values), sizeof(std::int64_t));
}

void SafetensorsWriter::write(const std::string& path) const {
  nlohmann::ordered_json header;
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  std::size_t offset = 0;
  for (const auto& [name, entry] : tensors_) {
    std::vector<std::int64_t> shape;
    for (int i = 0; i < entry.shape.rank(); ++i) shape.push_back(entry.shape[i]);
    header[name] = {{"dtype", entry.type},
                    {"shape", shape},
                    {"data_offsets", {offset, offset + entry.bytes.size()}}};
    offset += entry.bytes.size();
  }
  std::string text = header.dump();
  // Tensors begin on a multiple of eight bytes.
  text.resize((text.size() + 7) / 8 * 8, ' ');

  const std::string part = path + ".part";
  const auto fail = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    std::remove(part.c_str());
    throw SystemError(fmt::format("[safetensors] {}: {}: {}", path, what, reason));
  };
  std::FILE* file = std::fopen(part.c_str(), "wb");
  if (file == nullptr) fail("cannot be made");
  std::array<unsigned char, 8> length{};
  for (std::size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<unsigned char>((text.size() >> (8 * i)) & 0xFFU);
  bool ok = std::fwrite(length.data(), 1, length.size(), file) == length.size() &&
            std::fwrite(text.data(), 1, text.size(), file) == text.size();
  for (const auto& [name, entry] : tensors_)
    ok = ok && std::fwrite(entry.bytes.data(), 1, entry.bytes.size(), file) == entry.bytes.size();
  ok = std::fclose(file) == 0 && ok;
  if (!ok) fail("cannot be written");
  if (std::rename(part.c_str(), path.c_str()) != 0) fail("cannot be renamed");
}

}  // namespace retinue::layers
