#include "layers/ops/fp8_matmul.h"

#include "layers/kernels/cuda/cublaslt_product.h"
#include "layers/kernels/cuda/fp8_mma.h"
#include "layers/kernels/cuda/fp8_operand.h"
#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/matmul_tree.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>

// fp8_kernel() says which GPUs multiply with cuBLASLt, as here, and which with fp8_mma.h.
//
// cuBLASLt multiplies rows of e4m3 (fp8_operand.h) with a scale per block of 128 x 128
// weights and one per row and group of 128 inputs, a call per leaf: scales have no batches. As in
// cublaslt_matmul.cpp one algorithm serves every shape, so that bits depend on a row alone. cuBLASLt
// wants a multiple of four rows, so that other numbers of rows get rows of zeros, and results
// pass through scratch.

namespace retinue::cuda {

namespace {

/// The facts that decide the bits of a sum, and so the algorithm.
struct Fp8SumKind {
  std::int64_t inputs = 0;  ///< of one leaf
  DType y = DType::kBF16;
  friend auto operator<=>(const Fp8SumKind&, const Fp8SumKind&) = default;
};

/// The product of one leaf. Strides in elements, and bytes of e4m3.
struct Fp8Leaf {
  Fp8SumKind kind;
  std::int64_t rows, outputs;  ///< padded
  std::int64_t stride;         ///< of w and of x
  std::int64_t y_stride;
  const float *w_scales, *x_scales;
};

CublasProduct describe(const Fp8Leaf& leaf) {
  const std::int64_t inputs = leaf.kind.inputs;
  CublasProduct product({CUDA_R_8F_E4M3, leaf.outputs, inputs, leaf.stride},
                        {CUDA_R_8F_E4M3, leaf.rows, inputs, leaf.stride},
                        {cublas_type(leaf.kind.y), leaf.rows, leaf.outputs, leaf.y_stride});
  const auto mode = [](cublasLtMatmulMatrixScale_t value) {
    return static_cast<std::int32_t>(value);
  };
  product.set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, mode(CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F));
  product.set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, mode(CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F));
  product.set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, static_cast<const void*>(leaf.w_scales));
  product.set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, static_cast<const void*>(leaf.x_scales));
  return product;
}

/// A leaf without gaps between rows, for choosing algorithms.
CublasProduct dense_product(const Fp8SumKind& kind, std::int64_t rows, std::int64_t outputs) {
  // Not read: only its alignment counts.
  const auto* scales = reinterpret_cast<const float*>(std::uintptr_t{256});  // NOLINT
  return describe({kind, rows, outputs, kind.inputs, outputs, scales, scales});
}

bool serves_every_shape(cublasLtHandle_t handle, const Fp8SumKind& kind,
                        const cublasLtMatmulAlgo_t& algorithm) {
  for (const std::int64_t rows : {4, 8, 64, 2048, 16384})
    for (const std::int64_t outputs : {8, 136, 4096, 51200})
      if (!dense_product(kind, rows, outputs).is_served_by(handle, algorithm)) return false;
  return true;
}

/// The best of the heuristic's algorithms for a prefill of 2048 rows that serves every shape.
/// Throws: SystemError when there is none; never another algorithm for some shapes.
cublasLtMatmulAlgo_t choose_algorithm(cublasLtHandle_t handle, const Fp8SumKind& kind) {
  const auto algorithms =
      dense_product(kind, 2048, 4096)
          .offered(handle, kCublasAlignment, kCublasAlignment, CUBLASLT_REDUCTION_SCHEME_NONE);
  for (const cublasLtMatmulAlgo_t& algorithm : algorithms)
    if (keeps_sums_whole(algorithm) && serves_every_shape(handle, kind, algorithm))
      return algorithm;
  throw SystemError(
      fmt::format("[cublas] none of {} algorithms for sums of {} f8_e4m3 products into {} serves "
                  "every number of rows and outputs: use the bfloat16 checkpoint of the same size",
                  algorithms.size(), kind.inputs, name(kind.y)));
}

cublasLtMatmulAlgo_t pinned_algorithm(Device device, const Fp8SumKind& kind) {
  static auto& pinned = *new PinnedAlgorithms<Fp8SumKind>;
  return pinned.get(device, kind, choose_algorithm);
}

/// Leaf by leaf: to[leaf] = q · wᵀ, rows and outputs padded.
///   to  y, or [leaves, rows, outputs] f32
void multiply_leaves(Context& ctx, const ops::detail::MatmulArgs& a, const Fp8Operand& x,
                     TensorView to) {
  const std::int64_t rows = to.dim(0) / a.leaves, inputs = a.w.inputs;
  const Fp8Scales layout = fp8_scales(a.w.outputs, inputs, a.leaves);
  const Fp8SumKind kind{inputs / a.leaves, to.dtype()};
  const cublasLtMatmulAlgo_t algorithm = pinned_algorithm(ctx.device(), kind);
  for (std::int64_t leaf = 0; leaf < a.leaves; ++leaf)
    describe({kind, rows, to.dim(1), inputs, to.row_stride(),
              a.w.scales.data<float>() + leaf * layout.leaf_stride,
              x.scales + leaf * layout.groups * rows})
        .multiply(ctx,
                  {x.q + leaf * kind.inputs, a.w.data.bytes() + leaf * kind.inputs,
                   to.rows(leaf * rows, rows).bytes(), a.scratch},
                  algorithm);
}

void cublaslt_fp8_matmul(Context& ctx, const ops::detail::MatmulArgs& a) {
  const std::int64_t outputs = fp8_outputs(a.w.outputs);
  const Fp8Scratch scratch =
      fp8_cublaslt_scratch({a.x.dim(0), a.w.inputs, a.w.outputs, a.leaves, a.quantized != nullptr});
  for (std::int64_t first = 0; first < a.x.dim(0); first += scratch.chunk) {
    const Fp8Operand x = fp8_chunk(ctx, a, scratch, first, false);
    const std::int64_t count = x.rows, rows = x.padded;
    const TensorView y = a.y.rows(first, count);
    const bool in_place = a.leaves == 1 && rows == count && outputs == a.w.outputs &&
                          rows_are_aligned(y, kCublasAlignment);
    const TensorView sums(a.scratch + scratch.sums, a.leaves > 1 ? DType::kF32 : y.dtype(),
                          Shape{a.leaves * rows, outputs});
    multiply_leaves(ctx, a, x, in_place ? y : sums);
    if (a.leaves > 1)
      add_leaves(ctx, sums.data<float>(), rows * outputs, outputs, a.leaves, nullptr, y);
    else if (!in_place)
      copy_matrix(ctx.stream(), y, sums.rows(0, count).columns(0, a.w.outputs));
  }
}

}  // namespace

}  // namespace retinue::cuda

namespace retinue::ops::detail {

void fp8_matmul(Cuda, Context& ctx, const MatmulArgs& a) {
  using namespace retinue::cuda;
  check(a.w.leaves == a.leaves, "fp8_matmul: scales on CUDA are packed for the product's leaves");
  check(is_aligned(a.w.data.bytes(), kCublasAlignment) &&
            is_aligned(a.w.scales.bytes(), kCublasAlignment) && is_aligned(a.scratch, 256),
        "fp8_matmul: weights, scales and scratch on CUDA are aligned");
  if (uses_cublaslt(ctx.device()))
    cublaslt_fp8_matmul(ctx, a);
  else
    fp8_mma_matmul(ctx, a);
}

void pack_scales(Cuda, Context& ctx, ConstTensorView scales, std::int64_t first, std::int64_t begin,
                 std::int64_t end, const PackedMatrix& w) {
  check(first % kFp8Group == 0 && begin % kFp8Group == 0 &&
            (end % kFp8Group == 0 || end == w.outputs),
        "pack_scales: parts of a matrix on CUDA are whole blocks of 128 outputs");
  // Algorithms are chosen at the start, where a failure is explained and no graph is captured.
  if (cuda::uses_cublaslt(ctx.device())) {
    const std::int64_t inputs_of_leaf = w.inputs / w.leaves;
    (void)cuda::pinned_algorithm(ctx.device(), {inputs_of_leaf, DType::kF32});
    if (w.leaves == 1) (void)cuda::pinned_algorithm(ctx.device(), {inputs_of_leaf, DType::kBF16});
  }
  const cuda::Fp8Scales layout = cuda::fp8_scales(w.outputs, w.inputs, w.leaves);
  // Of the stored blocks, those that hold outputs [begin, end).
  const std::int64_t from = std::max<std::int64_t>(0, (begin - first) / kFp8Group);
  const std::int64_t until = std::min(scales.dim(0), (end - first + kFp8Group - 1) / kFp8Group);
  if (from >= until) return;
  for (std::int64_t leaf = 0; leaf < w.leaves; ++leaf) {
    const TensorView to(w.scales.bytes() + leaf * layout.leaf_stride * 4, DType::kF32,
                        Shape{layout.leaf_stride / layout.stride, layout.groups}, layout.stride);
    cuda::copy_matrix(ctx.stream(), to.rows(first / kFp8Group + from, until - from),
                      scales.rows(from, until - from).columns(leaf * layout.groups, layout.groups));
  }
}

}  // namespace retinue::ops::detail
