#pragma once

// Tested through tests/layers/weights/fp8_converter_test.cpp.

#include "layers/weights/safetensors.h"
#include "parallel/device/shape.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace retinue::layers {

/// Writes a safetensors file whose tensors need not fit in memory: the header first, then the bytes
/// of each tensor in the order of the header.
/// https://github.com/huggingface/safetensors, format description.
class SafetensorsStream {
 public:
  struct Entry {
    std::string name;
    StoredType type = StoredType::kF32;
    Shape shape;
  };
  /// Begins PATH.part, behind all links.
  /// Throws: as file_to_write() and fail_to_make(); SystemError, as the others, where it cannot be
  /// written.
  SafetensorsStream(const std::string& path, const std::vector<Entry>& entries,
                    const std::map<std::string, std::string>& metadata = {});
  /// Without finish(): removes what was written.
  ~SafetensorsStream();
  SafetensorsStream(const SafetensorsStream&) = delete;
  SafetensorsStream& operator=(const SafetensorsStream&) = delete;

  void write(std::span<const std::byte> bytes);
  /// All bytes of the header's tensors have been written: the file gets its name.
  void finish();

 private:
  [[noreturn]] void fail(const char* what);

  std::string path_;
  std::FILE* file_ = nullptr;
  std::int64_t left_ = 0;
};

}  // namespace retinue::layers
