#pragma once

// Tested through tests/layers/ops/matmul_test.cpp and fp8_matmul_test.cpp.

#include <cstdint>

/// Where elements lie on CUDA, for code with and without CUDA's headers.
namespace retinue::cuda {

/// Elements from one row of a packed matrix to the next: rows are row-major, [outputs, inputs], and
/// padded to 16 bytes of bf16, which tensor cores and vector loads ask for.
constexpr std::int64_t leading_dimension(std::int64_t inputs) { return (inputs + 7) / 8 * 8; }

/// Rows of a packed matrix of e4m3, zeros behind its outputs: cuBLASLt wants 16 bytes of bf16 in a
/// row of the result.
constexpr std::int64_t fp8_outputs(std::int64_t outputs) { return (outputs + 7) / 8 * 8; }

/// Scales of e4m3, one for 128 outputs and 128 inputs: [leaves, blocks of outputs, stride]. Each
/// leaf has a matrix of its own, since a product of one leaf reads from its start: cuBLASLt wants
/// it 16-byte aligned, and rows a multiple of four apart (BLK128x128_32F).
struct Fp8Scales {
  std::int64_t groups;  ///< of 128 inputs in a leaf
  std::int64_t stride;  ///< elements from one block of outputs to the next
  std::int64_t leaf_stride, numel;
};
constexpr Fp8Scales fp8_scales(std::int64_t outputs, std::int64_t inputs, int leaves) {
  const std::int64_t groups = inputs / 128 / leaves, stride = (groups + 3) / 4 * 4;
  const std::int64_t leaf_stride = stride * ((outputs + 127) / 128);
  return {groups, stride, leaf_stride, leaf_stride * leaves};
}

}  // namespace retinue::cuda
