#include "layers/kernels/cuda/cublaslt_product.h"
#include "layers/kernels/cuda/cublaslt_version.h"
#include "layers/kernels/cuda/layout.h"
#include "layers/kernels/cuda/matmul_scratch.h"
#include "layers/kernels/cuda/matmul_tree.h"
#include "layers/kernels/cuda/wgmma_matmul.h"
#include "layers/ops/matmul_tuning.h"
#include "parallel/base/check.h"
#include "parallel/base/rng.h"
#include "parallel/device/cuda/runtime.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <initializer_list>
#include <vector>

// The bits of a row must not depend on the number of rows or outputs, but the heuristic's answer
// does. So it is asked once per length of a sum, for a fixed reference shape, and its answer serves
// every shape (`pinned_algorithm`). Where another algorithm gives the same bits and is faster at
// some shape, a tuning names it. Nor may bits depend on addresses: operands that are
// less aligned than that algorithm wants are copied to scratch, and it multiplies them there.

namespace retinue::cuda {

namespace {

/// The facts that decide the bits of a sum, and so the algorithm.
struct SumKind {
  std::int64_t inputs = 0;  ///< of one leaf
  DType y = DType::kBF16;
  bool bias = false;
  friend auto operator<=>(const SumKind&, const SumKind&) = default;

  /// Bytes to which rows and leaves of w and x are aligned. A leaf may begin in the middle of a
  /// row, so this follows from the leaf's length and not from its address.
  [[nodiscard]] std::size_t operand_alignment() const {
    const auto bytes = static_cast<std::size_t>(inputs) * 2 | 16;
    return bytes & (~bytes + 1);
  }
};

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

CublasProduct describe(const Problem& p) {
  const std::int64_t inputs = p.kind.inputs;
  const auto [rows, outputs, leaves] = p.shape;
  CublasProduct product(
      {CUDA_R_16BF, outputs, inputs, p.w_stride, leaves, inputs},
      {CUDA_R_16BF, rows, inputs, p.x_stride, leaves, inputs},
      {cublas_type(p.kind.y), rows, outputs, p.y_stride, leaves, p.y_leaf_stride});
  if (p.kind.bias) {
    product.set(CUBLASLT_MATMUL_DESC_EPILOGUE, static_cast<std::uint32_t>(CUBLASLT_EPILOGUE_BIAS));
    product.set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    product.set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(CUDA_R_16BF));
  }
  return product;
}

/// A problem without gaps between rows, for choosing algorithms.
Problem dense_problem(const SumKind& kind, const Extent& shape) {
  const std::int64_t stride = leading_dimension(kind.inputs * shape.leaves);
  const std::int64_t y_stride = leading_dimension(shape.outputs);
  // Not read: only its alignment counts.
  const void* bias = reinterpret_cast<const void*>(std::uintptr_t{256});  // NOLINT
  return {kind, shape, stride, stride, y_stride, y_stride * shape.rows, bias};
}

/// Whether cuBLASLt can run the algorithm on the smallest and on the largest shape of a model. With
/// leaves a product's outputs are a hidden state, and its rows pass in pieces.
bool serves_every_shape(cublasLtHandle_t handle, const SumKind& kind,
                        const cublasLtMatmulAlgo_t& algorithm) {
  const auto serves = [&](int leaves, std::initializer_list<std::int64_t> all_rows,
                          std::initializer_list<std::int64_t> all_outputs) {
    for (const std::int64_t rows : all_rows)
      for (const std::int64_t outputs : all_outputs)
        if (!describe(dense_problem(kind, {rows, outputs, leaves})).is_served_by(handle, algorithm))
          return false;
    return true;
  };
  if (!serves(1, {1, 7, 64, 2048, 16384}, {8, 136, 4096, 151936})) return false;
  if (kind.y != DType::kF32) return true;  // leaves' sums are f32, without a bias
  return serves(2, {1, 7, 64, 2048}, {8, 136, 8192}) && serves(8, {1, 7, 64, 2048}, {8, 136, 8192});
}

/// The algorithms that the heuristic offers for a problem, most promising first.
std::vector<cublasLtMatmulAlgo_t> offered(cublasLtHandle_t handle, const Problem& problem,
                                          std::uint32_t schemes) {
  return describe(problem).offered(handle, problem.kind.operand_alignment(), kCublasAlignment,
                                   schemes);
}

/// The best of the heuristic's algorithms for a prefill of 2048 rows that serves every shape; where
/// there is none, of those for other numbers of rows.
/// Throws: SystemError when there is none at all; never another algorithm for some shapes.
cublasLtMatmulAlgo_t choose_algorithm(cublasLtHandle_t handle, const SumKind& kind) {
  std::size_t seen = 0;
  for (const std::int64_t rows : {2048, 64, 1}) {
    // With two leaves where there may be leaves, so that the heuristic sees their strides.
    const Problem asked = dense_problem(kind, {rows, 4096, kind.y == DType::kF32 ? 2 : 1});
    for (const cublasLtMatmulAlgo_t& algorithm :
         offered(handle, asked, CUBLASLT_REDUCTION_SCHEME_NONE)) {
      if (keeps_sums_whole(algorithm) && serves_every_shape(handle, kind, algorithm))
        return algorithm;
      ++seen;
    }
  }
  throw SystemError(
      fmt::format("[cublas] none of {} algorithms for sums of {} bf16 products into {}{} serves "
                  "every number of rows and outputs",
                  seen, kind.inputs, name(kind.y), kind.bias ? " with bias" : ""));
}

cublasLtMatmulAlgo_t pinned_algorithm(Device device, const SumKind& kind) {
  static auto& pinned = *new PinnedAlgorithms<SumKind>;
  return pinned.get(device, kind, choose_algorithm);
}

void multiply(const Context& ctx, const Problem& p, const CublasProduct::Operands& o,
              const cublasLtMatmulAlgo_t& algorithm) {
  describe(p).multiply(ctx, o, algorithm);
}

/// How a kind of product runs.
struct Plan {
  bool own_sums;  ///< leaves, or a bias on f32, which cuBLASLt adds to bf16 results only
  SumKind sum;
};
Plan plan_of(const ops::MatmulKind& kind) {
  const bool own_sums = kind.leaves > 1 || (kind.bias && kind.y == DType::kF32);
  return {own_sums,
          {kind.inputs / kind.leaves, own_sums ? DType::kF32 : kind.y, kind.bias && !own_sums}};
}

/// Weights below which a product takes less time than its launch: 2 MiB, read in under 1 µs.
constexpr std::int64_t kWeightsWorthTuning = 1 << 20;
/// Results that a comparison of bits covers at least, and most products that it takes for them.
/// Where K addends of bf16 products meet in another order, about sqrt(K) · 2^-17 of results that
/// are rounded to bf16 differ: of a million with K = 1024 some 250.
constexpr std::int64_t kResultsCompared = 1 << 20, kMostProductsCompared = 1024;

/// Fills x with bf16 of random signs and of exponents over eight binades: addends that differ in
/// size show in which order they were added. Every `begin` gives others.
void fill_with_signs_and_exponents(const Stream& stream, TensorView x, std::int64_t begin) {
  static const std::vector<BFloat16> values = [] {
    // A prime number of values, so that rows differ, whatever their length.
    std::vector<BFloat16> all(1048583);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::uint64_t random = random_bits(/*key=*/17, i);
      const std::uint64_t sign = random >> 63, exponent = 123 + (random >> 32) % 8;
      all[i] = {static_cast<std::uint16_t>(sign << 15 | exponent << 7 | (random & 127))};
    }
    return all;
  }();
  const auto count = static_cast<std::int64_t>(values.size());
  for (std::int64_t at = 0, from = begin % count; at < x.numel(); from = 0) {
    const std::int64_t here = std::min(count - from, x.numel() - at);
    stream.copy(x.data<BFloat16>() + at, values.data() + from, static_cast<std::size_t>(here) * 2);
    at += here;
  }
}

/// A product that a tuning times.
struct Trial {
  Problem problem;
  TensorView x;
  CublasProduct::Operands operands;
};

/// Whether two algorithms, of which neither splits sums, give the same bytes.
bool have_equal_bits(const Context& ctx, const Trial& trial, const cublasLtMatmulAlgo_t& pinned,
                     const cublasLtMatmulAlgo_t& other) {
  const Problem& p = trial.problem;
  const std::int64_t results = p.shape.rows * p.shape.outputs * p.shape.leaves;
  const std::int64_t products = (kResultsCompared + results - 1) / results;
  if (products > kMostProductsCompared) return false;
  const std::size_t bytes =
      static_cast<std::size_t>(p.y_leaf_stride * p.shape.leaves) * size_bytes(p.kind.y);
  auto* const y = static_cast<std::byte*>(trial.operands.y);
  std::vector<std::byte> want(bytes), got(std::min(bytes, std::size_t{4} << 20));
  for (std::int64_t i = 0; i < products; ++i) {
    fill_with_signs_and_exponents(ctx.stream(), trial.x, i * 977);
    // Padding between rows is written by neither.
    ctx.stream().zero(y, bytes);
    multiply(ctx, p, trial.operands, pinned);
    ctx.stream().copy(want.data(), y, bytes);
    ctx.stream().zero(y, bytes);
    multiply(ctx, p, trial.operands, other);
    for (std::size_t at = 0; at < bytes; at += got.size()) {
      const std::size_t here = std::min(got.size(), bytes - at);
      ctx.stream().copy(got.data(), y + at, here);
      ctx.stream().synchronize();
      if (std::memcmp(got.data(), want.data() + at, here) != 0) return false;
    }
  }
  return true;
}

}  // namespace

}  // namespace retinue::cuda

namespace retinue::ops::detail {

void matmul(Cuda, Context& ctx, const MatmulArgs& a) {
  using namespace retinue::cuda;
  check(a.x.dtype() == DType::kBF16, "matmul: CUDA multiplies bf16, not f32");
  check(is_aligned(a.w.data.bytes(), kCublasAlignment) && is_aligned(a.scratch, 256),
        "matmul: weights and scratch on CUDA are aligned");
  if (a.w.own_kernel) return wgmma_matmul(ctx, a);
  const std::int64_t rows = a.x.dim(0), inputs = a.w.inputs, outputs = a.w.outputs;
  const MatmulScratch scratch = matmul_scratch(rows, inputs, outputs, a.leaves);
  const BFloat16* bias = a.bias.numel() > 0 ? a.bias.data<BFloat16>() : nullptr;
  const MatmulKind product{inputs, outputs, a.leaves, bias != nullptr, a.y.dtype()};
  const auto [own_sums, kind] = plan_of(product);
  const bool stage_x = !rows_are_aligned(a.x, kind.operand_alignment());
  const bool stage_y = !own_sums && !rows_are_aligned(a.y, kCublasAlignment);
  if (kind.bias && !is_aligned(bias, kCublasAlignment)) {
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
      copy_matrix(ctx.stream(), staged, x);
      x = staged;
    }
    const TensorView y = a.y.rows(first, count);
    const TensorView sums(a.scratch + scratch.sums, kind.y, Shape{count, outputs},
                          leading_dimension(outputs));
    const TensorView to = own_sums || stage_y ? sums : y;
    const std::int64_t leaf_stride = count * sums.row_stride();
    const Problem problem{kind,
                          {count, outputs, a.leaves},
                          x.row_stride(),
                          leading_dimension(inputs),
                          to.row_stride(),
                          leaf_stride,
                          bias};
    const MatmulTuning* tuning = matmul_tuning(ctx);
    const auto* tuned = tuning == nullptr ? nullptr : tuning->find(product, count);
    multiply(ctx, problem, {x.bytes(), a.w.data.bytes(), to.bytes(), a.scratch},
             tuned != nullptr ? std::bit_cast<cublasLtMatmulAlgo_t>(*tuned)
                              : pinned_algorithm(ctx.device(), kind));
    if (own_sums)
      add_leaves(ctx, sums.data<float>(), leaf_stride, sums.row_stride(), a.leaves, bias, y);
    else if (stage_y)
      copy_matrix(ctx.stream(), y, sums);
  }
}

void tune_matmul(Cuda, Context& ctx, const TunedProduct& product, const MatmulTimer& timer,
                 MatmulTuning& tuning) {
  using namespace retinue::cuda;
  const bool equal_bits = product.bits == TunedBits::kEqual;
  const MatmulKind kind = product.kind();
  if (equal_bits && kind.inputs * kind.outputs < kWeightsWorthTuning) return;
  const auto [own_sums, sum] = plan_of(kind);
  const cublasLtHandle_t handle = cublaslt_handle(ctx.device());
  for (std::int64_t bucket = 1; bucket <= MatmulTuning::bucket_of(product.max_rows); bucket *= 2) {
    const std::int64_t most = std::min(bucket, product.max_rows);
    const MatmulScratch scratch = matmul_scratch(most, kind.inputs, kind.outputs, kind.leaves);
    // A product of more rows runs in pieces of this size.
    const std::int64_t rows = own_sums ? scratch.chunk : most;
    if (tuning.find(kind, rows) != nullptr) continue;
    Frame frame(ctx);
    std::byte* const workspace = ctx.scratch(scratch.bytes);
    const TensorView x = ctx.alloc({rows, leading_dimension(kind.inputs)}, DType::kBF16);
    fill_with_signs_and_exponents(ctx.stream(), x, 0);  // zeros would run faster than real data
    std::byte* const y = own_sums
                             ? workspace + scratch.sums
                             : ctx.alloc({rows, leading_dimension(kind.outputs)}, kind.y).bytes();
    Problem problem = dense_problem(sum, {rows, kind.outputs, kind.leaves});
    if (sum.bias) {
      const TensorView bias = ctx.alloc({kind.outputs}, DType::kBF16);
      ctx.stream().zero(bias.bytes(), bias.size_bytes());
      problem.bias = bias.bytes();
    }
    const Trial trial{problem, x, {x.bytes(), product.w.data.bytes(), y, workspace}};
    Problem smallest = dense_problem(sum, {bucket / 2 + 1, kind.outputs, kind.leaves});
    double best = 0;
    bool any = false;
    const auto take_if_faster = [&](const cublasLtMatmulAlgo_t& algorithm, const auto& allowed) {
      const double seconds = timer([&] { multiply(ctx, problem, trial.operands, algorithm); });
      if ((any && seconds >= best) || !allowed()) return;
      any = true, best = seconds;
      tuning.put(kind, rows, std::bit_cast<MatmulTuning::Algorithm>(algorithm));
    };
    cublasLtMatmulAlgo_t pinned{};
    if (equal_bits) {
      pinned = pinned_algorithm(ctx.device(), sum);
      take_if_faster(pinned, [] { return true; });
    }
    for (const cublasLtMatmulAlgo_t& algorithm :
         offered(handle, problem,
                 equal_bits ? CUBLASLT_REDUCTION_SCHEME_NONE : CUBLASLT_REDUCTION_SCHEME_MASK)) {
      if (!describe(problem).is_served_by(handle, algorithm) ||
          !describe(smallest).is_served_by(handle, algorithm))
        continue;
      take_if_faster(algorithm, [&] {
        return !equal_bits ||
               (keeps_sums_whole(algorithm) && have_equal_bits(ctx, trial, pinned, algorithm));
      });
    }
    if (!any)
      throw SystemError(fmt::format("[cublas] no algorithm for {} rows, {} inputs, {} outputs",
                                    rows, kind.inputs, kind.outputs));
  }
  ctx.stream().synchronize();
}

std::string matmul_library_on_cuda(Device device) {
  const cuda::DeviceFacts facts = cuda::device_facts(device.index);
  return fmt::format("cublasLt {} on {} with {} multiprocessors", cuda::cublaslt_version(),
                     facts.name, facts.multiprocessors);
}

void pack_rows(Cuda, Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w) {
  // Packing comes before products, so the handle, which may allocate, is not made in a capture.
  (void)cuda::cublaslt_handle(ctx.device());
  const std::int64_t stride = cuda::leading_dimension(w.inputs);
  const std::int64_t element = static_cast<std::int64_t>(size_bytes(w.data.dtype()));
  const TensorView to(w.data.bytes() + first_output * stride * element, w.data.dtype(),
                      Shape{rows.dim(0), w.inputs}, stride);
  cuda::copy_matrix(ctx.stream(), to, rows);
}

}  // namespace retinue::ops::detail
