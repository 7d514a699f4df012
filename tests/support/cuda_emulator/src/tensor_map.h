#pragma once

#include <cstddef>
#include <cstdint>
#include <cuda.h>

namespace cuda_emulator {

/// What a CUtensorMap holds: a tensor in device memory, and the box of it that one copy brings.
/// Dimensions begin with the one whose elements lie side by side.
struct TensorMap {
  static constexpr std::uint32_t kMark = 0x54454E53;
  static constexpr int kMostDimensions = 5;

  std::uint32_t mark = 0;
  std::uint8_t rank = 0, element_bytes = 0, swizzle = 0, unused = 0;
  const char* address = nullptr;
  std::uint64_t strides[kMostDimensions - 1] = {};  // bytes
  std::uint32_t last[kMostDimensions] = {};         // elements - 1
  std::uint16_t box[kMostDimensions] = {};          // elements

  [[nodiscard]] std::uint32_t row_bytes() const { return std::uint32_t{box[0]} * element_bytes; }
  [[nodiscard]] std::uint32_t box_bytes() const { return row_bytes() * (rank > 1 ? box[1] : 1); }
  /// Bytes after which the pattern of the swizzle repeats; 128, the alignment of all copies, without.
  [[nodiscard]] std::uint32_t pattern_bytes() const {
    return swizzle == 0 ? 128u : 128u << swizzle;
  }
};
static_assert(sizeof(TensorMap) <= sizeof(CUtensorMap));

/// Where a swizzle puts the piece of 16 bytes that lies at `offset` without it. Offsets begin where the
/// pattern does.
///   span  128, 64 or 32 bytes; 16: no swizzle
constexpr std::uint32_t swizzled(std::uint32_t offset, std::uint32_t span) {
  return offset ^ (offset >> 7 & (span / 16 - 1)) << 4;
}

/// Reads a map; ends the program unless cuTensorMapEncodeTiled made it for two dimensions.
TensorMap read_map(const CUtensorMap* map);

}  // namespace cuda_emulator
