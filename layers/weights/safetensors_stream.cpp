#include "layers/weights/safetensors_stream.h"

#include "parallel/base/check.h"
#include "parallel/base/path_error.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cerrno>
#include <cstring>
#include <unistd.h>
#include <utility>

namespace retinue::layers {

SafetensorsStream::SafetensorsStream(const std::string& path, const std::vector<Entry>& entries,
                                     const std::map<std::string, std::string>& metadata)
    : path_(file_to_write(path, "[safetensors]")) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  for (const Entry& entry : entries) {
    const std::int64_t size =
        entry.shape.numel() * static_cast<std::int64_t>(size_bytes(entry.type));
    std::vector<std::int64_t> shape;
    for (int i = 0; i < entry.shape.rank(); ++i) shape.push_back(entry.shape[i]);
    header[entry.name] = {{"dtype", to_string(entry.type)},
                          {"shape", shape},
                          {"data_offsets", {left_, left_ + size}}};
    left_ += size;
  }
  std::string text = header.dump();
  // Tensors begin on a multiple of eight bytes.
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::array<unsigned char, 8> length{};
  for (std::size_t i = 0; i < length.size(); ++i)
    length[i] = static_cast<unsigned char>((text.size() >> (8 * i)) & 0xFFU);
  file_ = std::fopen((path_ + ".part").c_str(), "wb");
  if (file_ == nullptr) fail_to_make(path_ + ".part", "[safetensors]", errno);
  if (std::fwrite(length.data(), 1, length.size(), file_) != length.size() ||
      std::fwrite(text.data(), 1, text.size(), file_) != text.size())
    fail("cannot be written");
}

SafetensorsStream::~SafetensorsStream() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove((path_ + ".part").c_str());
}

void SafetensorsStream::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;  // of an empty tensor, whose address may be null
  left_ -= static_cast<std::int64_t>(bytes.size());
  check(left_ >= 0, "no more bytes are written than the header has");
  if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail("cannot be written");
}

void SafetensorsStream::finish() {
  check(left_ == 0, "as many bytes are written as the header has");
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0) fail("cannot be written");
  if (std::fclose(std::exchange(file_, nullptr)) != 0) fail("cannot be written");
  if (std::rename((path_ + ".part").c_str(), path_.c_str()) != 0) fail("cannot be renamed");
}

void SafetensorsStream::fail(const char* what) {
  const std::string reason = std::strerror(errno);
  if (file_ != nullptr) std::fclose(std::exchange(file_, nullptr));
  std::remove((path_ + ".part").c_str());
  throw SystemError(
      fmt::format("[safetensors] {} {}: {}. Make room or mend the disk, then run the same command "
                  "again.",
                  path_, what, reason));
}

}  // namespace retinue::layers
