#include "layers/kernels/cuda/cublaslt_version.h"
#include "layers/kernels/cuda/launch.h"
#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/matmul_scratch.h"
#include "layers/kernels/cuda/matmul_tree.h"
#include "layers/ops/matmul.h"

#include <fmt/format.h>

#include <array>
#include <cublasLt.h>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

// cuBLASLt counts columns first. Our row-major w [outputs, inputs] is its A, transposed; x [rows,
// inputs] its B; y [rows, outputs] its D: m is outputs, n is rows.
//
// The bits of a row must not depend on how many rows or outputs there are, so the heuristic, whose
// answer does depend on them, is asked once per length of a sum, for a fixed reference shape, and
// its answer serves every shape (`pinned_algorithm`). Neither may they depend on addresses:
// operands that are not as aligned as that algorithm wants are copied to scratch and multiplied
// there by the same algorithm.

namespace retinue::cuda {

std::string cublaslt_version() {
  const std::size_t version = cublasLtGetVersion();
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

namespace {

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw SystemError(fmt::format("[cublas] {}: {}", what, cublasLtGetStatusName(status)));
}

template <auto kDestroy>
struct Destroy {
  template <class T>
  void operator()(T* object) const {
    kDestroy(object);
  }
};
using Description = std::unique_ptr<cublasLtMatmulDescOpaque_t, Destroy<cublasLtMatmulDescDestroy>>;
using Layout = std::unique_ptr<cublasLtMatrixLayoutOpaque_t, Destroy<cublasLtMatrixLayoutDestroy>>;
using Preference =
    std::unique_ptr<cublasLtMatmulPreferenceOpaque_t, Destroy<cublasLtMatmulPreferenceDestroy>>;

/// What decides the bits of a sum, and with it the algorithm.
struct SumKind {
  std::int64_t inputs = 0;  ///< of one leaf
  DType y = DType::kBF16;
  bool bias = false;
  friend auto operator<=>(const SumKind&, const SumKind&) = default;

  /// Bytes to which rows and leaves of w and x are aligned. A leaf may begin in the middle of a
  /// row, so this follows from its length and is the same wherever it lies.
  [[nodiscard]] std::size_t operand_alignment() const {
    const auto bytes = static_cast<std::size_t>(inputs) * 2 | 16;
    return bytes & (~bytes + 1);
  }
};
constexpr std::size_t kAlignment = 16;  ///< of y and bias

struct Extent {
  std::int64_t rows, outputs;
  int leaves;
};

/// One product of cuBLASLt, all leaves side by side. Strides in elements.
struct Problem {
  SumKind kind;
  Extent shape;
  std::int64_t x_stride, w_stride, y_stride, y_leaf_stride;
  const void* bias = nullptr;
};

cudaDataType_t type_of(DType dtype) { return dtype == DType::kF32 ? CUDA_R_32F : CUDA_R_16BF; }

/// The descriptors of a problem. Made anew for each call: host work of microseconds, which a
/// captured graph does not repeat.
class Descriptors {
 public:
  explicit Descriptors(const Problem& p) {
    cublasLtMatmulDesc_t made = nullptr;
    check_cublas(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                 "cublasLtMatmulDescCreate");
    desc_.reset(made);
    set(CUBLASLT_MATMUL_DESC_TRANSA, static_cast<std::int32_t>(CUBLAS_OP_T));
    if (p.kind.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS));
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(CUDA_R_16BF));
    }
    const std::int64_t inputs = p.kind.inputs;
    w_ = layout(CUDA_R_16BF, inputs, p.shape.outputs, p.w_stride, p.shape.leaves, inputs);
    x_ = layout(CUDA_R_16BF, inputs, p.shape.rows, p.x_stride, p.shape.leaves, inputs);
    y_ = layout(type_of(p.kind.y), p.shape.outputs, p.shape.rows, p.y_stride, p.shape.leaves,
                p.y_leaf_stride);
  }
  [[nodiscard]] cublasLtMatmulDesc_t desc() const { return desc_.get(); }
  [[nodiscard]] cublasLtMatrixLayout_t w() const { return w_.get(); }
  [[nodiscard]] cublasLtMatrixLayout_t x() const { return x_.get(); }
  [[nodiscard]] cublasLtMatrixLayout_t y() const { return y_.get(); }

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, T value) {
    check_cublas(cublasLtMatmulDescSetAttribute(desc_.get(), attribute, &value, sizeof value),
                 "cublasLtMatmulDescSetAttribute");
  }
  static Layout layout(cudaDataType_t type, std::int64_t rows, std::int64_t columns,
                       std::int64_t stride, std::int32_t leaves, std::int64_t leaf_stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check_cublas(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows),
                                            static_cast<std::uint64_t>(columns), stride),
                 "cublasLtMatrixLayoutCreate");
    Layout owned(made);
    const auto set_layout = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
      check_cublas(cublasLtMatrixLayoutSetAttribute(made, attribute, &value, sizeof value),
                   "cublasLtMatrixLayoutSetAttribute");
    };
    if (leaves > 1) {
      set_layout(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, leaves);
      set_layout(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, leaf_stride);
    }
    return owned;
  }

  Description desc_;
  Layout w_, x_, y_;
};

/// A problem as dense as problems come, for choosing algorithms.
Problem dense_problem(const SumKind& kind, const Extent& shape) {
  const std::int64_t stride = leading_dimension(kind.inputs * shape.leaves);
  const std::int64_t y_stride = leading_dimension(shape.outputs);
  // Never read: only its alignment counts.
  const void* bias = reinterpret_cast<const void*>(std::uintptr_t{256});  // NOLINT
  return {kind, shape, stride, stride, y_stride, y_stride * shape.rows, bias};
}

/// Whether cuBLASLt can run the algorithm on the smallest and largest shapes that we may have.
bool serves_every_shape(cublasLtHandle_t handle, const SumKind& kind,
                        const cublasLtMatmulAlgo_t& algorithm) {
  for (const int leaves : {1, 2, 4, 8}) {
    if (leaves > 1 && kind.y != DType::kF32) break;  // leaves' sums are f32, without a bias
    for (const std::int64_t rows : {1, 7, 64, 2048, 16384})
      for (const std::int64_t outputs : {1, 136, 4096, 151936}) {
        const Descriptors d(dense_problem(kind, {rows, outputs, leaves}));
        cublasLtMatmulHeuristicResult_t result{};
        if (cublasLtMatmulAlgoCheck(handle, d.desc(), d.w(), d.x(), d.y(), d.y(), &algorithm,
                                    &result) != CUBLAS_STATUS_SUCCESS ||
            result.state != CUBLAS_STATUS_SUCCESS || result.workspaceSize > kMatmulWorkspaceBytes)
          return false;
      }
  }
  return true;
}

/// Whether a sum stays in one piece: parts that meet through memory are cut by shape.
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

/// The best of the heuristic's algorithms for a prefill of 2048 rows that serves every shape.
/// Throws: SystemError when there is none; never another algorithm for some shapes.
cublasLtMatmulAlgo_t choose_algorithm(cublasLtHandle_t handle, const SumKind& kind) {
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
  const Preference preference(made);
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check_cublas(cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value),
                 "cublasLtMatmulPreferenceSetAttribute");
  };
  const auto operand_alignment = static_cast<std::uint32_t>(kind.operand_alignment());
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kMatmulWorkspaceBytes);
  set(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
      static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, operand_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, operand_alignment);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(kAlignment));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(kAlignment));
  // Of two leaves where there may be leaves, so that their strides are part of the question.
  const Descriptors d(dense_problem(kind, {2048, 4096, kind.y == DType::kF32 ? 2 : 1}));
  std::array<cublasLtMatmulHeuristicResult_t, 64> results{};
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, d.desc(), d.w(), d.x(), d.y(), d.y(), made,
                                     static_cast<int>(results.size()), results.data(), &found);
  if (status != CUBLAS_STATUS_SUCCESS && status != CUBLAS_STATUS_NOT_SUPPORTED)
    check_cublas(status, "cublasLtMatmulAlgoGetHeuristic");
  for (int i = 0; i < found; ++i) {
    const auto& result = results[static_cast<std::size_t>(i)];
    if (result.state == CUBLAS_STATUS_SUCCESS && keeps_sums_whole(result.algo) &&
        serves_every_shape(handle, kind, result.algo))
      return result.algo;
  }
  throw SystemError(
      fmt::format("[cublas] none of {} algorithms for sums of {} bf16 products into {}{} serves "
                  "every number of rows and outputs",
                  found, kind.inputs, name(kind.y), kind.bias ? " with bias" : ""));
}

/// One handle per process and device, and what was chosen with it. A handle holds no state of a
/// call and may be used by all threads. It is never destroyed: at the end of a process the driver
/// may be gone first.
struct DeviceState {
  std::mutex mutex;
  cublasLtHandle_t handle = nullptr;
  std::map<SumKind, cublasLtMatmulAlgo_t> algorithms;
};

DeviceState& state_of(Device device) {
  static std::mutex& mutex = *new std::mutex;
  static auto& states = *new std::map<int, DeviceState>;
  const std::lock_guard lock(mutex);
  DeviceState& state = states[device.index];
  if (state.handle == nullptr) check_cublas(cublasLtCreate(&state.handle), "cublasLtCreate");
  return state;
}

cublasLtMatmulAlgo_t pinned_algorithm(DeviceState& state, const SumKind& kind) {
  const std::lock_guard lock(state.mutex);
  auto known = state.algorithms.find(kind);
  if (known == state.algorithms.end())
    known = state.algorithms.emplace(kind, choose_algorithm(state.handle, kind)).first;
  return known->second;
}

void multiply(Context& ctx, const Problem& p, const void* x, const void* w, void* y,
              void* workspace) {
  DeviceState& state = state_of(ctx.device());
  const cublasLtMatmulAlgo_t algorithm = pinned_algorithm(state, p.kind);
  const Descriptors d(p);
  const float alpha = 1, beta = 0;
  check_cublas(
      cublasLtMatmul(state.handle, d.desc(), &alpha, w, d.w(), x, d.x(), &beta, y, d.y(), y, d.y(),
                     &algorithm, workspace, kMatmulWorkspaceBytes, stream_of(ctx)),
      "cublasLtMatmul");
}

bool is_aligned(const void* data, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(data) % alignment == 0;
}
/// Whether each row begins aligned. Says nothing of what lies behind the view.
bool rows_are_aligned(ConstTensorView view, std::size_t alignment) {
  const std::size_t stride = static_cast<std::size_t>(view.row_stride()) * size_bytes(view.dtype());
  return is_aligned(view.bytes(), alignment) && stride % alignment == 0;
}

void copy_rows(const Stream& stream, TensorView to, ConstTensorView from) {
  const std::size_t element = size_bytes(from.dtype());
  stream.copy_rows(to.bytes(), static_cast<std::size_t>(to.row_stride()) * element, from.bytes(),
                   static_cast<std::size_t>(from.row_stride()) * element,
                   static_cast<std::size_t>(from.dim(1)) * element,
                   static_cast<std::size_t>(from.dim(0)));
}

}  // namespace

}  // namespace retinue::cuda

namespace retinue::ops::detail {

void matmul(Cuda, Context& ctx, const MatmulArgs& a) {
  using namespace retinue::cuda;
  check(a.x.dtype() == DType::kBF16, "matmul: CUDA multiplies bf16, not f32");
  check(is_aligned(a.w.data.bytes(), kAlignment) && is_aligned(a.scratch, 256),
        "matmul: weights and scratch on CUDA are aligned");
  const std::int64_t rows = a.x.dim(0), inputs = a.w.inputs, outputs = a.w.outputs;
  const MatmulScratch scratch = matmul_scratch(rows, inputs, outputs, a.leaves);
  const BFloat16* bias = a.bias.numel() > 0 ? a.bias.data<BFloat16>() : nullptr;
  // cuBLASLt adds a bf16 bias to bf16 results only.
  const bool own_sums = a.leaves > 1 || (bias != nullptr && a.y.dtype() == DType::kF32);
  const bool epilogue = bias != nullptr && !own_sums;
  const SumKind kind{inputs / a.leaves, own_sums ? DType::kF32 : a.y.dtype(), epilogue};
  const bool stage_x = !rows_are_aligned(a.x, kind.operand_alignment());
  const bool stage_y = !own_sums && !rows_are_aligned(a.y, kAlignment);
  if (epilogue && !is_aligned(bias, kAlignment)) {
    ctx.stream().copy(a.scratch + scratch.bias, bias, a.bias.size_bytes());
    bias = reinterpret_cast<const BFloat16*>(a.scratch + scratch.bias);
  }
  const std::int64_t chunk = own_sums || stage_x || stage_y ? scratch.chunk : rows;
  for (std::int64_t first = 0; first < rows; first += chunk) {
    const std::int64_t count = std::min(chunk, rows - first);
    ConstTensorView x = a.x.rows(first, count);
    if (stage_x) {
      const TensorView staged(a.scratch + scratch.x, DType::kBF16, Shape{count, inputs},
                              leading_dimension(inputs));
      cuda::copy_rows(ctx.stream(), staged, x);
      x = staged;
    }
    const TensorView y = a.y.rows(first, count);
    const TensorView sums(a.scratch + scratch.sums, kind.y, Shape{count, outputs},
                          leading_dimension(outputs));
    const TensorView to = own_sums || stage_y ? sums : y;
    const std::int64_t leaf_stride = count * sums.row_stride();
    multiply(ctx,
             {kind,
              {count, outputs, a.leaves},
              x.row_stride(),
              leading_dimension(inputs),
              to.row_stride(),
              leaf_stride,
              bias},
             x.bytes(), a.w.data.bytes(), to.bytes(), a.scratch);
    if (own_sums)
      add_leaves(ctx, sums.data<float>(), leaf_stride, sums.row_stride(), a.leaves, bias, y);
    else if (stage_y)
      cuda::copy_rows(ctx.stream(), y, sums);
  }
}

void pack_rows(Cuda, Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w) {
  // Weights come before products: the handle, which may allocate, is never made within a capture.
  (void)cuda::state_of(ctx.device());
  const std::int64_t stride = cuda::leading_dimension(w.inputs);
  const std::int64_t element = static_cast<std::int64_t>(size_bytes(w.data.dtype()));
  const TensorView to(w.data.bytes() + first_output * stride * element, w.data.dtype(),
                      Shape{rows.dim(0), w.inputs}, stride);
  cuda::copy_rows(ctx.stream(), to, rows);
}

}  // namespace retinue::ops::detail
