#pragma once

#include "parallel/device/shape.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

namespace retinue::layers {

/// Element types that this reader serves.
enum class StoredType : std::uint8_t { kF32, kF16, kBF16, kF8E4M3, kI64, kI32, kU8 };
std::size_t size_bytes(StoredType type);
/// As the header spells it: "BF16".
std::string to_string(StoredType type);

/// One tensor of a file: type, shape and the bytes that the header gives it, row-major.
struct StoredTensor {
  StoredType type = StoredType::kBF16;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// A safetensors file, mapped into memory and open. Every claim of its header is checked against
/// the file before anything is read: length, JSON, types, shapes, ranges that overlap, leave holes
/// or end elsewhere.
/// https://github.com/huggingface/safetensors, format description.
class SafetensorsFile {
 public:
  /// Throws: UsageError naming the file, what was claimed, what was found and what to do.
  explicit SafetensorsFile(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

  /// Reads bytes of a tensor from `offset` on, not through the mapping: a file that became shorter
  /// or a disk that fails is an error here, while a read through the mapping would end the process.
  /// Several threads may read at once.
  /// Throws: SystemError naming the file and the tensor.
  void read(const std::string& tensor, std::int64_t offset, std::span<std::byte> to) const;

 private:
  void map_file();
  void parse_header();
  void close_file();

  std::string path_;
  int descriptor_ = -1;
  std::span<const std::byte> file_;
  std::map<std::string, StoredTensor> tensors_;
};

/// Parses the header of a file whose tensors are in `data`. For SafetensorsFile and its fuzzer.
std::map<std::string, StoredTensor> parse_safetensors_header(const std::string& path,
                                                             std::string_view header,
                                                             std::span<const std::byte> data);

}  // namespace retinue::layers
