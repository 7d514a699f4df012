#include "tests/bench/cuda_ceilings.h"

#include "parallel/base/check.h"

#include <cublasLt.h>
#include <string>

namespace retinue::bench {
namespace {

void require(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw SystemError(std::string("[cublas] ") + call + ": " + cublasLtGetStatusString(status));
}

cublasLtMatrixLayout_t layout(std::int64_t rows, std::int64_t columns) {
  cublasLtMatrixLayout_t made = nullptr;
  require(cublasLtMatrixLayoutCreate(&made, CUDA_R_16BF, static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(columns), rows),
          "cublasLtMatrixLayoutCreate");
  return made;
}

}  // namespace

// Handles live as long as the benchmark and are never destroyed.
std::function<void()> best_cublaslt_matmul(Context& ctx, const void* x, const void* w, void* y,
                                           std::int64_t m, std::int64_t n, std::int64_t k,
                                           void* workspace, std::size_t workspace_bytes) {
  cublasLtHandle_t handle = nullptr;
  require(cublasLtCreate(&handle), "cublasLtCreate");
  cublasLtMatmulDesc_t desc = nullptr;
  require(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
  // cuBLAS is column-major: its A is w, transposed, and its B is x.
  const cublasOperation_t transposed = CUBLAS_OP_T;
  require(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                         sizeof transposed),
          "cublasLtMatmulDescSetAttribute");
  const cublasLtMatrixLayout_t a = layout(k, n), b = layout(k, m), d = layout(n, m);
  cublasLtMatmulPreference_t preference = nullptr;
  require(cublasLtMatmulPreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
  require(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace_bytes, sizeof workspace_bytes),
          "cublasLtMatmulPreferenceSetAttribute");
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  require(cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, d, d, preference, 1, &best, &found),
          "cublasLtMatmulAlgoGetHeuristic");
  check(found == 1, "cuBLASLt has an algorithm for a plain matmul");
  return [=, stream = static_cast<cudaStream_t>(ctx.stream().native())] {
    const float alpha = 1, beta = 0;
    require(cublasLtMatmul(handle, desc, &alpha, w, a, x, b, &beta, y, d, y, d, &best.algo,
                           workspace, workspace_bytes, stream),
            "cublasLtMatmul");
  };
}

}  // namespace retinue::bench
