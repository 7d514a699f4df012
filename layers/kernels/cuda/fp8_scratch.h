#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/matmul_scratch.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

/// How a product of e4m3 on CUDA divides its scratch, for code with and without CUDA's headers.
namespace retinue::cuda {

/// Rows of a product: cuBLASLt wants a multiple of four where scales are per row.
constexpr std::int64_t fp8_rows(std::int64_t rows) { return (rows + 3) / 4 * 4; }

/// Regions in bytes from the start, behind cuBLASLt's workspace; each begins 256-byte aligned.
/// `chunk` rows at a time, a multiple of four, pass through all of them.
///   q       [chunk, inputs] e4m3
///   scales  [inputs / 128, chunk] f32
///   sums    [leaves, chunk, fp8_outputs(outputs)] f32, or y where it is not written in place
struct Fp8Scratch {
  std::int64_t chunk = 0;
  std::size_t q = 0, scales = 0, sums = 0;
  std::size_t bytes = 0;
};

constexpr Fp8Scratch fp8_matmul_scratch(std::int64_t rows, std::int64_t inputs,
                                        std::int64_t outputs, int leaves) {
  constexpr std::int64_t kLimit = std::int64_t{128} << 20;
  const std::int64_t scale_bytes = inputs / 128 * 4, sum_bytes = fp8_outputs(outputs) * 4 * leaves;
  const auto aligned = [](std::int64_t bytes) {
    return static_cast<std::size_t>((bytes + 255) / 256 * 256);
  };
  const std::int64_t fit = (kLimit - 768) / (inputs + scale_bytes + sum_bytes) / 4 * 4;
  Fp8Scratch scratch;
  scratch.chunk = std::min(fp8_rows(rows), std::max<std::int64_t>(4, fit));
  scratch.q = kMatmulWorkspaceBytes;
  scratch.scales = scratch.q + aligned(scratch.chunk * inputs);
  scratch.sums = scratch.scales + aligned(scratch.chunk * scale_bytes);
  scratch.bytes = scratch.sums + aligned(scratch.chunk * sum_bytes);
  return scratch;
}

}  // namespace retinue::cuda
