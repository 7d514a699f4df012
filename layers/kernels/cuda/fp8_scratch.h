#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/matmul_scratch.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

/// How a product of e4m3 on CUDA divides its scratch, for code with and without CUDA's headers.
namespace retinue::cuda {

/// Rows of a product: cuBLASLt wants a multiple of four where scales are per row, and a copy of 16
/// bytes takes four scales.
constexpr std::int64_t fp8_rows(std::int64_t rows) { return (rows + 3) / 4 * 4; }

/// Regions in bytes from the start, behind cuBLASLt's workspace; each begins 256-byte aligned.
/// `chunk` rows at a time, a multiple of four, pass through all of them.
///   q       [chunk, inputs] e4m3; of fp8_mma.h bf16
///   scales  [inputs / 128, chunk] f32
///   sums    [leaves, chunk, fp8_outputs(outputs)] f32, or y where it is not written in place; none
///           of fp8_mma.h
struct Fp8Scratch {
  std::int64_t chunk = 0;
  std::size_t q = 0, scales = 0, sums = 0;
  std::size_t bytes = 0;
};

/// Bytes of a row in each region.
struct Fp8RowBytes {
  std::int64_t q, scales, sums;
};

constexpr Fp8Scratch fp8_scratch(std::int64_t rows, const Fp8RowBytes& row) {
  constexpr std::int64_t kLimit = std::int64_t{160} << 20;
  const auto aligned = [](std::int64_t bytes) {
    return static_cast<std::size_t>((bytes + 255) / 256 * 256);
  };
  const std::int64_t fit = whole_tiles((kLimit - 768) / (row.q + row.scales + row.sums) / 4 * 4);
  Fp8Scratch scratch;
  scratch.chunk = std::min(fp8_rows(rows), std::max<std::int64_t>(4, fit));
  scratch.q = kMatmulWorkspaceBytes;
  scratch.scales = scratch.q + aligned(scratch.chunk * row.q);
  scratch.sums = scratch.scales + aligned(scratch.chunk * row.scales);
  scratch.bytes = scratch.sums + aligned(scratch.chunk * row.sums);
  return scratch;
}

constexpr Fp8Scratch fp8_cublaslt_scratch(std::int64_t rows, std::int64_t inputs,
                                          std::int64_t outputs, int leaves) {
  return fp8_scratch(rows, {inputs, inputs / 128 * 4, fp8_outputs(outputs) * 4 * leaves});
}
constexpr Fp8Scratch fp8_mma_scratch(std::int64_t rows, std::int64_t inputs) {
  return fp8_scratch(rows, {inputs * 2, inputs / 128 * 4, 0});
}

/// Enough for both: a plan is made without the GPU.
constexpr std::size_t fp8_scratch_bytes(std::int64_t rows, std::int64_t inputs,
                                        std::int64_t outputs, int leaves) {
  return std::max(fp8_cublaslt_scratch(rows, inputs, outputs, leaves).bytes,
                  fp8_mma_scratch(rows, inputs).bytes);
}

}  // namespace retinue::cuda
