#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include "layers/kernels/cuda/layout.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

/// How a product on CUDA divides its scratch, for code with and without CUDA's headers.
namespace retinue::cuda {

/// cuBLASLt's workspace: NVIDIA's recommendation for Hopper.
inline constexpr std::size_t kMatmulWorkspaceBytes = std::size_t{32} << 20;

/// Rows of a product's tiles at their largest. Pieces of whole tiles leave no tile half empty.
inline constexpr std::int64_t kMatmulTileRows = 256;
constexpr std::int64_t whole_tiles(std::int64_t rows) {
  return rows < kMatmulTileRows ? rows : rows / kMatmulTileRows * kMatmulTileRows;
}

/// Regions in bytes from the start; each begins 256-byte aligned. `chunk` rows at a time pass
/// through `sums` and `x`, which bounds both together.
///   sums  [leaves, chunk, leading_dimension(outputs)] f32, or y where y itself is not aligned
///   x     [chunk, leading_dimension(inputs)] bf16, where x itself is not aligned
///   bias  [outputs] bf16, where the bias itself is not aligned
struct MatmulScratch {
  std::int64_t chunk = 0;
  std::size_t sums = 0, x = 0, bias = 0;
  std::size_t bytes = 0;
};

constexpr MatmulScratch matmul_scratch(std::int64_t rows, std::int64_t inputs, std::int64_t outputs,
                                       int leaves) {
  // Without leaves only unaligned operands pass through, and a model has none.
  const std::int64_t limit = std::int64_t{leaves > 1 ? 160 : 16} << 20;
  const std::int64_t sum_bytes = leading_dimension(outputs) * 4 * leaves;
  const std::int64_t x_bytes = leading_dimension(inputs) * 2;
  const auto aligned = [](std::int64_t bytes) {
    return static_cast<std::size_t>((bytes + 255) / 256 * 256);
  };
  MatmulScratch scratch;
  const std::int64_t fit = std::max<std::int64_t>(1, (limit - 512) / (sum_bytes + x_bytes));
  scratch.chunk = std::min(rows, whole_tiles(fit));
  scratch.sums = kMatmulWorkspaceBytes;
  scratch.x = scratch.sums + aligned(scratch.chunk * sum_bytes);
  scratch.bias = scratch.x + aligned(scratch.chunk * x_bytes);
  scratch.bytes = scratch.bias + aligned(outputs * 2);
  return scratch;
}

}  // namespace retinue::cuda
