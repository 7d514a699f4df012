// rms_norm and layer_norm, alone or after a residual: a warp per short row (a head), a thread block
// per long one. A thread sums runs of kVector neighbours, and the threads' sums meet in a fixed
// tree. The order depends on the width alone, not on whether the row allows vector loads. Where a
// product of e4m3 reads the rows, they are quantised before they are stored.
#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_quantize.cuh"
#include "layers/ops/add_layer_norm.h"
#include "layers/ops/add_rms_norm.h"
#include "layers/ops/layer_norm.h"
#include "layers/ops/rms_norm.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kWarp = 32;
constexpr int kBlock = 256;
/// A thread block takes each longer row.
constexpr std::int64_t kLongestOfAWarp = 1024;

/// y as a tensor.
template <class T>
struct TensorRows {
  T* first;
  std::int64_t stride;
};

/// y = norm(x), or x += branch and then y = norm(x).
///   Y  TensorRows<T>, or Fp8Operand, whose rows have one head
template <class T, class Branch, class Y>
struct Rows {
  std::int64_t rows;   ///< heads counted
  std::int64_t heads;  ///< rows between two of a view's rows
  std::int64_t width;
  const T* x;
  T* sum;  ///< x, where there is a branch
  const Branch* branch;
  Y y;
  std::int64_t x_stride, branch_stride;
  const T *weight, *bias;
  float eps;
};
/// The type of the branch of a norm without one.
struct None {};

enum class Norm { kRms, kLayer };

/// The sum over the kThreads threads of a row, for all of them.
template <int kThreads>
__device__ __forceinline__ float sum_threads(float sum) {
  for (int distance = kWarp / 2; distance > 0; distance /= 2)
    sum += __shfl_xor_sync(0xFFFFFFFFU, sum, distance);
  if constexpr (kThreads > kWarp) {
    constexpr int kWarps = kThreads / kWarp;
    __shared__ float of_warp[kWarps];
    __syncthreads();  // an earlier sum has been read
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = sum;
    __syncthreads();
    sum = 0;
    for (int warp = 0; warp < kWarps; ++warp) sum += of_warp[warp];
  }
  return sum;
}

template <Norm kNorm, class T, class Branch, class Y, int kThreads, bool kVectors>
__global__ void __launch_bounds__(kBlock) norm_kernel(Rows<T, Branch, Y> r) {
  constexpr bool kQuantizes = std::is_same_v<Y, Fp8Operand>;
  if constexpr (kQuantizes)
    if (blockIdx.x == 0) store_fp8_padding(r.y, 0, r.y.inputs / kFp8GroupInputs);
  const std::int64_t row =
      static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / kThreads) + threadIdx.x / kThreads;
  if (row >= r.rows) return;  // the same for all threads of a row
  const std::int64_t outer = row / r.heads, inner = row % r.heads * r.width;
  const T* x = r.x + outer * r.x_stride + inner;
  const auto for_runs = [&](auto&& body) {
    for (std::int64_t first = static_cast<int>(threadIdx.x) % kThreads * kVector; first < r.width;
         first += kThreads * kVector)
      body(first);
  };

  float sum = 0;  // of squares, or for a mean
  for_runs([&](std::int64_t first) {
    auto run = load_run<kVectors>(x, first, r.width);
    if constexpr (!std::is_same_v<Branch, None>) {
      const auto more = load_run<kVectors>(r.branch + row * r.branch_stride, first, r.width);
      for (int i = 0; i < kVector; ++i)
        run.at[i] = from_f32<T>(to_f32(run.at[i]) + rounded<T>(to_f32(more.at[i])));
      // Each thread reads back only what it wrote.
      store_run<kVectors>(r.sum + row * r.x_stride, first, r.width, run);
    }
    for (int i = 0; i < kVector; ++i) {
      const float value = to_f32(run.at[i]);
      sum += kNorm == Norm::kRms ? value * value : value;
    }
  });
  sum = sum_threads<kThreads>(sum);
  const auto width = static_cast<float>(r.width);
  float mean = 0;
  if constexpr (kNorm == Norm::kLayer) {
    mean = sum / width, sum = 0;
    for_runs([&](std::int64_t first) {
      const auto run = load_run<kVectors>(x, first, r.width);
      for (int i = 0; i < kVector; ++i) {
        const float centred = to_f32(run.at[i]) - mean;
        if (first + i < r.width) sum += centred * centred;
      }
    });
    sum = sum_threads<kThreads>(sum);
  }
  const float scale = 1.0F / sqrtf(sum / width + r.eps);
  for_runs([&](std::int64_t first) {
    auto run = load_run<kVectors>(x, first, r.width);
    const auto by = load_run<kVectors>(r.weight, first, r.width);
    if constexpr (kNorm == Norm::kRms) {
      for (int i = 0; i < kVector; ++i)
        run.at[i] = from_f32<T>(to_f32(by.at[i]) * rounded<T>(to_f32(run.at[i]) * scale));
    } else {
      const auto plus = load_run<kVectors>(r.bias, first, r.width);
      for (int i = 0; i < kVector; ++i)
        run.at[i] = from_f32<T>(
            __fmaf_rn((to_f32(run.at[i]) - mean) * scale, to_f32(by.at[i]), to_f32(plus.at[i])));
    }
    if constexpr (kQuantizes)
      quantize_run(r.y, static_cast<int>(row), static_cast<int>(first), run);
    else
      store_run<kVectors>(r.y.first + outer * r.y.stride + inner, first, r.width, run);
  });
}

///   Y  TensorView or Fp8Operand
template <class Y>
struct Operands {
  ConstTensorView x, weight, bias;
  float eps;
  Y y;
};

template <class T>
TensorRows<T> rows_of(const TensorView& y) {
  return {pointer<T>(y), y.row_stride()};
}
template <class T>
Fp8Operand rows_of(const Fp8Operand& y) {
  return y;
}
bool takes_vectors_of(std::int64_t width, const TensorView& y) { return takes_vectors(width, y); }
bool takes_vectors_of(std::int64_t /*width*/, const Fp8Operand& /*y*/) { return true; }

/// A branch comes with the x that it is added to.
template <Norm kNorm, class T, class Branch, class Y>
void norm(Context& ctx, const Operands<Y>& o, const Branch* branch = nullptr,
          const ConstTensorView& branch_view = {}, T* sum = nullptr) {
  const std::int64_t heads = o.x.shape().rank() == 3 ? o.x.dim(1) : 1, width = o.x.dim(-1);
  const Shape one_row{1, width};
  using Written = decltype(rows_of<T>(o.y));
  const Rows<T, Branch, Written> rows{o.x.dim(0) * heads,
                                      heads,
                                      width,
                                      pointer<T>(o.x),
                                      sum,
                                      branch,
                                      rows_of<T>(o.y),
                                      o.x.row_stride(),
                                      branch_view.numel() > 0 ? branch_view.row_stride() : 0,
                                      pointer<T>(o.weight),
                                      pointer<T>(o.bias),
                                      o.eps};
  const bool vectors = takes_vectors(width, o.x, o.weight.reshape(one_row)) &&
                       takes_vectors_of(width, o.y) &&
                       (o.bias.numel() == 0 || takes_vectors(width, o.bias.reshape(one_row))) &&
                       (branch == nullptr || takes_vectors(width, branch_view));
  const auto with = [&](auto threads, auto takes) {
    launch(ctx, norm_kernel<kNorm, T, Branch, Written, threads, takes>,
           {ceil_div(rows.rows, kBlock / threads)}, kBlock, 0, rows);
  };
  const auto on = [&](auto threads) {
    vectors ? with(threads, std::true_type{}) : with(threads, std::false_type{});
  };
  width <= kLongestOfAWarp ? on(std::integral_constant<int, kWarp>{})
                           : on(std::integral_constant<int, kBlock>{});
}

}  // namespace

void rms_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              TensorView y) {
  on_element(x.dtype(), [&](auto element) {
    norm<Norm::kRms, decltype(element), None>(ctx, Operands<TensorView>{x, weight, {}, eps, y});
  });
}

void rms_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              const MatmulInput& y) {
  norm<Norm::kRms, __nv_bfloat16, None>(
      ctx, Operands<Fp8Operand>{x, weight, {}, eps, fp8_operand(ctx, y)});
}

void layer_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y) {
  on_element(x.dtype(), [&](auto element) {
    norm<Norm::kLayer, decltype(element), None>(ctx, Operands<TensorView>{x, weight, bias, eps, y});
  });
}

void add_rms_norm(Cuda, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, TensorView y) {
  on_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const auto with = [&](auto more) {
      using Branch = decltype(more);
      norm<Norm::kRms, T>(ctx, Operands<TensorView>{x, weight, {}, eps, y}, pointer<Branch>(branch),
                          branch, pointer<T>(x));
    };
    branch.dtype() == x.dtype() ? with(T{}) : with(float{});
  });
}

void add_rms_norm(Cuda, Context& ctx, TensorView x, ConstTensorView branch, ConstTensorView weight,
                  float eps, const MatmulInput& y) {
  using T = __nv_bfloat16;
  const Operands<Fp8Operand> operands{x, weight, {}, eps, fp8_operand(ctx, y)};
  on_element(branch.dtype(), [&](auto element) {
    norm<Norm::kRms, T>(ctx, operands, pointer<decltype(element)>(branch), branch, pointer<T>(x));
  });
}

void add_layer_norm(Cuda, Context& ctx, TensorView x, ConstTensorView branch,
                    ConstTensorView weight, ConstTensorView bias, float eps, TensorView y) {
  on_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    norm<Norm::kLayer, T>(ctx, Operands<TensorView>{x, weight, bias, eps, y}, pointer<T>(branch),
                          branch, pointer<T>(x));
  });
}

}  // namespace retinue::ops::detail
