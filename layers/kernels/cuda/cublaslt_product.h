#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>
#include <cublasLt.h>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

/// Shared by products of bf16 and of e4m3: cuBLASLt's handle, descriptors and algorithms.
///
/// cuBLASLt counts columns first. Our row-major w [outputs, inputs] is its A, transposed; x [rows,
/// inputs] its B; y [rows, outputs] its D: m is outputs, n is rows.
namespace retinue::cuda {

/// Throws: SystemError naming the call and cuBLASLt's status, where it is not success.
void check_cublas(cublasStatus_t status, const char* what);

/// One per process and device. It holds no state of a call and serves all threads.
/// Order: the first call of a device may allocate, so it comes before any capture.
cublasLtHandle_t cublaslt_handle(Device device);

cudaDataType_t cublas_type(DType dtype);  ///< f32, bf16 or f8_e4m3

/// How w, x or y lies: row-major. Strides in elements.
struct CublasMatrix {
  cudaDataType_t type;
  std::int64_t rows, columns, row_stride;
  std::int32_t leaves = 1;  ///< side by side, each multiplied with its own
  std::int64_t leaf_stride = 0;
};

/// The descriptors of a product, in their own memory: a call takes nothing from the heap.
class CublasProduct {
 public:
  CublasProduct(const CublasMatrix& w, const CublasMatrix& x, const CublasMatrix& y);

  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check_cublas(cublasLtMatmulDescSetAttribute(&desc_, attribute, &value, sizeof value),
                 "cublasLtMatmulDescSetAttribute");
  }

  /// The algorithms that the heuristic offers, most promising first.
  ///   operand_alignment  bytes to which rows and leaves of w and x are aligned
  ///   y_alignment        the same of y
  ///   schemes            CUBLASLT_REDUCTION_SCHEME_…: how parts of a sum may meet
  [[nodiscard]] std::vector<cublasLtMatmulAlgo_t> offered(cublasLtHandle_t handle,
                                                          std::size_t operand_alignment,
                                                          std::size_t y_alignment,
                                                          std::uint32_t schemes);
  [[nodiscard]] bool is_served_by(cublasLtHandle_t handle, const cublasLtMatmulAlgo_t& algorithm);

  struct Operands {
    const void *x, *w;
    void *y, *workspace;  ///< kMatmulWorkspaceBytes, 256-byte aligned
  };
  void multiply(const Context& ctx, const Operands& operands,
                const cublasLtMatmulAlgo_t& algorithm);

 private:
  cublasLtMatmulDescOpaque_t desc_;
  cublasLtMatrixLayoutOpaque_t w_, x_, y_;
};

/// Whether a sum stays in one piece: where it is split, the split depends on the shape.
bool keeps_sums_whole(const cublasLtMatmulAlgo_t& algorithm);

/// The algorithm that serves every shape, chosen once per device and kind of sum.
template <class Kind>
class PinnedAlgorithms {
 public:
  /// choose(handle, kind) is called where the kind is new.
  template <class Choose>
  cublasLtMatmulAlgo_t get(Device device, const Kind& kind, Choose&& choose) {
    const std::lock_guard lock(mutex_);
    const std::pair key{device.index, kind};
    auto known = algorithms_.find(key);
    if (known == algorithms_.end())
      known = algorithms_.emplace(key, choose(cublaslt_handle(device), kind)).first;
    return known->second;
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<int, Kind>, cublasLtMatmulAlgo_t> algorithms_;
};

/// Whether data and each row begin aligned. Memory past the view may be anything.
bool is_aligned(const void* data, std::size_t alignment);
bool rows_are_aligned(ConstTensorView view, std::size_t alignment);
/// Enqueues a copy of a matrix, row by row.
void copy_matrix(const Stream& stream, TensorView to, ConstTensorView from);

inline constexpr std::size_t kCublasAlignment = 16;  ///< of y and bias

}  // namespace retinue::cuda
