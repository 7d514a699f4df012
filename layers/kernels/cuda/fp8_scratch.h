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

/// What decides how a product divides its rows and its scratch.
struct Fp8Extent {
  std::int64_t rows, inputs, outputs;
  int leaves;
  bool quantized = false;  ///< rows come so, and pass through no scratch (ops/matmul_input.h)
};

/// Regions in bytes from the start, behind cuBLASLt's workspace; each begins 256-byte aligned.
/// `chunk` rows at a time, a multiple of four, pass through all of them.
///   scales  [inputs / 128, chunk] f32         neither where rows come quantised
///   q       [chunk, inputs] e4m3; of fp8_mma.h bf16
///   sums    [leaves, chunk, fp8_outputs(outputs)] f32, or y where it is not written in place; none
///           of fp8_mma.h
struct Fp8Scratch {
  std::int64_t chunk = 0;
  std::size_t scales = 0, q = 0, sums = 0;
  std::size_t bytes = 0;
};

/// Bytes of a row in each region.
struct Fp8RowBytes {
  std::int64_t scales, q, sums;
};

constexpr std::size_t fp8_aligned(std::int64_t bytes) {
  return static_cast<std::size_t>((bytes + 255) / 256 * 256);
}

constexpr Fp8Scratch fp8_scratch(std::int64_t rows, const Fp8RowBytes& row) {
  constexpr std::int64_t kLimit = std::int64_t{160} << 20;
  const std::int64_t fit = whole_tiles((kLimit - 768) / (row.scales + row.q + row.sums) / 4 * 4);
  Fp8Scratch scratch;
  scratch.chunk = std::min(fp8_rows(rows), std::max<std::int64_t>(4, fit));
  scratch.scales = kMatmulWorkspaceBytes;
  scratch.q = scratch.scales + fp8_aligned(scratch.chunk * row.scales);
  scratch.sums = scratch.q + fp8_aligned(scratch.chunk * row.q);
  scratch.bytes = scratch.sums + fp8_aligned(scratch.chunk * row.sums);
  return scratch;
}

constexpr Fp8Scratch fp8_cublaslt_scratch(const Fp8Extent& e) {
  const std::int64_t sums = fp8_outputs(e.outputs) * 4 * e.leaves;
  if (e.quantized) return fp8_scratch(e.rows, {0, 0, sums});
  return fp8_scratch(e.rows, {e.inputs / 128 * 4, e.inputs, sums});
}
/// A kernel counts bytes of x and w from their start in 32 bits.
inline constexpr std::int64_t kMostFp8Bytes = std::int64_t{1} << 31;
constexpr Fp8Scratch fp8_mma_scratch(const Fp8Extent& e) {
  if (!e.quantized) return fp8_scratch(e.rows, {e.inputs / 128 * 4, e.inputs * 2, 0});
  Fp8Scratch scratch;
  scratch.chunk =
      std::min(fp8_rows(e.rows), whole_tiles((kMostFp8Bytes - 1) / (e.inputs * 2) / 4 * 4));
  return scratch;
}

/// Enough for both: a plan is made without the GPU.
constexpr std::size_t fp8_scratch_bytes(const Fp8Extent& e) {
  return std::max(fp8_cublaslt_scratch(e).bytes, fp8_mma_scratch(e).bytes);
}

/// Memory of rows that come quantised, likewise: scales, then from fp8_operand_values() on values.
///   scales  for each chunk of the product [inputs / 128, rows of the chunk] f32
///   values  [fp8_rows(rows), inputs] e4m3; of fp8_mma.h bf16
constexpr std::size_t fp8_operand_values(std::int64_t rows, std::int64_t inputs) {
  return fp8_aligned(fp8_rows(rows) * (inputs / 128) * 4);
}
constexpr std::size_t fp8_operand_bytes(std::int64_t rows, std::int64_t inputs) {
  return fp8_operand_values(rows, inputs) + static_cast<std::size_t>(fp8_rows(rows) * inputs * 2);
}

}  // namespace retinue::cuda
