#include "layers/kernels/cuda/cublaslt_product.h"

#include "layers/kernels/cuda/cublaslt_version.h"
#include "layers/kernels/cuda/launch.h"
#include "layers/kernels/cuda/matmul_scratch.h"

#include <fmt/format.h>

#include <array>
#include <memory>

namespace retinue::cuda {

std::string cublaslt_version() {
  const std::size_t version = cublasLtGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw SystemError(fmt::format("[cublas] {}: {}", what, cublasLtGetStatusName(status)));
}

cublasLtHandle_t cublaslt_handle(Device device) {
  // Never destroyed: at the end of a process the driver may be gone first.
  static std::mutex& mutex = *new std::mutex;
  static auto& handles = *new std::map<int, cublasLtHandle_t>;
  const std::lock_guard lock(mutex);
  cublasLtHandle_t& handle = handles[device.index];
  if (handle == nullptr) check_cublas(cublasLtCreate(&handle), "cublasLtCreate");
  return handle;
}

cudaDataType_t cublas_type(DType dtype) {
  if (dtype == DType::kF8E4M3) return CUDA_R_8F_E4M3;
  return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF;
}

namespace {

struct DestroyPreference {
  void operator()(cublasLtMatmulPreferenceOpaque_t* preference) const {
    cublasLtMatmulPreferenceDestroy(preference);
  }
};
using Preference = std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, DestroyPreference>;

void lay_out(cublasLtMatrixLayoutOpaque_t& layout, const CublasMatrix& matrix) {
  check_cublas(
      cublasLtMatrixLayoutInit(&layout, matrix.type, static_cast<std::uint64_t>(matrix.columns),
                               static_cast<std::uint64_t>(matrix.rows), matrix.row_stride),
      "cublasLtMatrixLayoutInit");
  const auto set = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
    check_cublas(cublasLtMatrixLayoutSetAttribute(&layout, attribute, &value, sizeof value),
                 "cublasLtMatrixLayoutSetAttribute");
  };
  if (matrix.leaves > 1) {
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, matrix.leaves);
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.leaf_stride);
  }
}

}  // namespace

CublasProduct::CublasProduct(const CublasMatrix& w, const CublasMatrix& x, const CublasMatrix& y) {
  check_cublas(cublasLtMatmulDescInit(&desc_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
               "cublasLtMatmulDescInit");
  set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(CUBLAS_OP_T));
  lay_out(w_, w);
  lay_out(x_, x);
  lay_out(y_, y);
}

std::vector<cublasLtMatmulAlgo_t> CublasProduct::offered(cublasLtHandle_t handle,
                                                         std::size_t operand_alignment,
                                                         std::size_t y_alignment,
                                                         std::uint32_t schemes) {
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const Preference preference(made);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check_cublas(cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value),
                 "cublasLtMatmulPreferenceSetAttribute");
  };
  const auto of_operands = static_cast<std::uint32_t>(operand_alignment);
  const auto of_y = static_cast<std::uint32_t>(y_alignment);
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMatmulWorkspaceBytes);
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, schemes);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, of_operands);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, of_operands);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, of_y);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, of_y);
  std::array<cublasLtMatmulHeuristicResult_t, 64> results{};
  int found = 0;
  // cuBLASLt takes descriptors by pointers that are not const, and only reads them.
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, &desc_, &w_, &x_, &y_, &y_, made,
                                     static_cast<int>(results.size()), results.data(), &found);
  if (status != CUBLAS_STATUS_SUCCESS && status != CUBLAS_STATUS_NOT_SUPPORTED)
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
  std::vector<cublasLtMatmulAlgo_t> algorithms;
  for (int i = 0; i < found; ++i)
    if (results[static_cast<std::size_t>(i)].state == CUBLAS_STATUS_SUCCESS)
      algorithms.push_back(results[static_cast<std::size_t>(i)].algo);
  return algorithms;
}

bool CublasProduct::is_served_by(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm) {
  cublasLtMatmulHeuristicResult_t result{};
  return cublasLtMatmulAlgoCheck(handle, &desc_, &w_, &x_, &y_, &y_, &algorithm, &result) ==
             CUBLAS_STATUS_SUCCESS &&
         result.state == CUBLAS_STATUS_SUCCESS && result.workspaceSize <= kMatmulWorkspaceBytes;
}

void CublasProduct::multiply(const Context& ctx, const Operands& o,
                             const cublasLtMatmulAlgo_t& algorithm) {
  const float alpha = 1, beta = 0;
  check_cublas(
      cublasLtMatmul(cublaslt_handle(ctx.device()), &desc_, &alpha, o.w, &w_, o.x, &x_, &beta, o.y,
                     &y_, o.y, &y_, &algorithm, o.workspace, kMatmulWorkspaceBytes, stream_of(ctx)),
      "cublasLtMatmul");
}

bool keeps_sums_whole(const cublasLtMatmulAlgo_t& algorithm) {
  std::uint32_t splits = 0, scheme = 0;
  std::size_t written = 0;
  return cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits,
                                              sizeof splits, &written) == CUBLAS_STATUS_SUCCESS &&
         cublasLtMatmulAlgoConfigGetAttribute(&algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                              &scheme, sizeof scheme,
                                              &written) == CUBLAS_STATUS_SUCCESS &&
         splits <= 1 && scheme == CUBLASLT_REDUCTION_SCHEME_NONE;
}

bool is_aligned(const void* data, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(data) % alignment == 0;
}

bool rows_are_aligned(ConstTensorView view, std::size_t alignment) {
  const std::size_t stride = static_cast<std::size_t>(view.row_stride()) * size_bytes(view.dtype());
  return is_aligned(view.bytes(), alignment) && stride % alignment == 0;
}

void copy_matrix(const Stream& stream, TensorView to, ConstTensorView from) {
  const std::size_t element = size_bytes(from.dtype());
  stream.copy_rows(to.bytes(), static_cast<std::size_t>(to.row_stride()) * element, from.bytes(),
                   static_cast<std::size_t>(from.row_stride()) * element,
                   static_cast<std::size_t>(from.dim(1)) * element,
                   static_cast<std::size_t>(from.dim(0)));
}

}  // namespace retinue::cuda
