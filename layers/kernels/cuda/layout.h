#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include <cstdint>

/// Where elements lie on CUDA, for code with and without CUDA's headers.
namespace retinue::cuda {

/// Elements from one row of a packed matrix to the next: rows are row-major, [outputs, inputs], and
/// padded to 16 bytes of bf16, which tensor cores and vector loads ask for.
constexpr std::int64_t leading_dimension(std::int64_t inputs) { return (inputs + 7) / 8 * 8; }

}  // namespace retinue::cuda
