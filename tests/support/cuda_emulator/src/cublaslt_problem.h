#pragma once

#include "tests/support/cuda_emulator/src/cublaslt_descriptors.h"
#include "tests/support/cuda_emulator/src/matmul_kernel.h"

#include <cstddef>
#include <cstdint>

namespace cuda_emulator {

/// The scales of a matrix of e4m3, one for 128 of k and each or 128 of its rows (A) or columns (B).
struct MatmulScales {
  std::int32_t mode = CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F;
  const float* data = nullptr;
  std::int64_t outer_stride = 0, group_stride = 0;
  std::int64_t outer_block = 1;  // rows or columns that share one
  std::int64_t numel = 0;        // that cuBLASLt may read

  bool in_blocks() const { return mode != CUBLASLT_MATMUL_MATRIX_SCALE_SCALAR_32F; }
  float at(std::int64_t outer, std::int64_t group) const {
    return data[outer / outer_block * outer_stride + group * group_stride];
  }
};

/// A product as the descriptors describe it, without the matrices' addresses.
struct MatmulProblem {
  std::int64_t m = 0, n = 0, k = 0;
  std::int32_t batch = 1;
  MatrixView a, b, c, d;  // of op(A), op(B)
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  cudaDataType_t bias_type = CUDA_R_32F;
  std::int64_t bias_batch_stride = 0;
  MatmulScales a_scales, b_scales;  // of op(A), op(B)

  bool has_bias() const { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
};

std::size_t element_bytes(cudaDataType_t type);

/// Whether a product of these types is emulated.
bool types_are_supported(cublasComputeType_t compute_type, cudaDataType_t scale_type,
                         cudaDataType_t a, cudaDataType_t b, cudaDataType_t c, cudaDataType_t d);

/// The problem, where the descriptors are consistent and their request is emulated.
cublasStatus_t make_problem(const cublasLtMatmulDescOpaque_t& desc,
                            const cublasLtMatrixLayoutOpaque_t& a,
                            const cublasLtMatrixLayoutOpaque_t& b,
                            const cublasLtMatrixLayoutOpaque_t& c,
                            const cublasLtMatrixLayoutOpaque_t& d, MatmulProblem* problem);

/// Bytes from the first to past the last element of a layout.
std::size_t extent_bytes(const cublasLtMatrixLayoutOpaque_t& layout);

/// The largest power of two, up to 256, that divides the strides of rows, columns and batches, in
/// bytes.
std::size_t stride_alignment(const cublasLtMatrixLayoutOpaque_t& layout);

}  // namespace cuda_emulator
