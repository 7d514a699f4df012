#pragma once

#include <cublasLt.h>

/// What stands behind cuBLASLt's opaque handles.

struct cublasLtContext {
  int device = 0;
};

struct cublasLtMatmulDescOpaque_t {
  std::int32_t compute_type = CUBLAS_COMPUTE_32F, scale_type = CUDA_R_32F;
  std::int32_t pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N, transpose_c = CUBLAS_OP_N;
  std::uint32_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int64_t bias_batch_stride = 0;
  std::int32_t bias_type = -1;  // that of D
  std::int32_t multiprocessors = 0;
};

struct cublasLtMatrixLayoutOpaque_t {
  std::uint32_t type = CUDA_R_32F;
  std::int32_t order = CUBLASLT_ORDER_COL;
  std::uint64_t rows = 0, cols = 0;
  std::int64_t ld = 0;
  std::int32_t batch_count = 1;
  std::int64_t batch_stride = 0;

  cudaDataType_t element_type() const { return static_cast<cudaDataType_t>(type); }
  bool row_major() const { return order == CUBLASLT_ORDER_ROW; }
};

struct cublasLtMatmulPreferenceOpaque_t {
  std::uint32_t search_mode = CUBLASLT_SEARCH_BEST_FIT;
  std::uint64_t max_workspace_bytes = 0;
  std::uint32_t reduction_schemes = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t min_alignment[4] = {256, 256, 256, 256};  // of a, b, c and d
  float max_waves = 0;
  std::uint64_t implementations = ~std::uint64_t{0};
};
