#pragma once

// Tested through tests/support/cuda_emulator/tests/wgmma_test.cu.

#include <cstdint>

/// How a wgmma names a matrix in shared memory. No PTX, so that the emulator has it, too.
namespace retinue::cuda {

/// In which order the pieces of 16 bytes of a row lie in shared memory: within a span of so many
/// bytes, by an exclusive or with the row, so that equal pieces of eight rows lie in different banks.
/// The values are those of the descriptor's field.
enum class Swizzle : std::uint8_t { kNone = 0, k128Bytes = 1, k64Bytes = 2, k32Bytes = 3 };

/// Bytes from one row to the next within eight rows.
__host__ __device__ constexpr std::uint32_t row_bytes(Swizzle swizzle) {
  return swizzle == Swizzle::kNone ? 16 : 256u >> static_cast<unsigned>(swizzle);
}

/// Where a matrix of 16-bit elements lies whose rows run along k (PTX ISA, "Matrix Descriptor
/// Format"). A wgmma reads 32 bytes of each row.
struct SharedMatrix {
  std::uint32_t address;  ///< in shared memory: of the first row and the first k that is read
  Swizzle swizzle;
  std::uint32_t eight_rows_bytes;    ///< from eight rows to the next eight: "stride"
  std::uint32_t eight_k_bytes = 16;  ///< from 8 k to the next 8; read with kNone alone: "leading"

  [[nodiscard]] __host__ __device__ constexpr std::uint64_t descriptor() const {
    return field(address) | field(eight_k_bytes) << 16 | field(eight_rows_bytes) << 32 |
           static_cast<std::uint64_t>(swizzle) << 62;
  }

 private:
  __host__ __device__ static constexpr std::uint64_t field(std::uint32_t bytes) {
    return (bytes & 0x3FFFF) >> 4;
  }
};

/// The descriptor of the same matrix that many bytes on, a multiple of 16. Its address does not leave
/// the lower half, so that a GPU adds 32 bits.
__host__ __device__ constexpr std::uint64_t moved(std::uint64_t descriptor, std::uint32_t bytes) {
  const auto lower = static_cast<std::uint32_t>(descriptor) + bytes / 16;
  return (descriptor >> 32) << 32 | lower;
}

}  // namespace retinue::cuda
