// rms_norm and layer_norm: a warp per short row (a head), a block per long one. A thread sums runs
// of kVector neighbours, the threads' sums meet in a fixed tree; the order is one of the width
// alone, whether or not the row allows vector loads.
#include "layers/kernels/cuda/elements.h"
#include "layers/ops/layer_norm.h"
#include "layers/ops/rms_norm.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kWarp = 32;
constexpr int kBlock = 256;
/// Longer rows are given to a block.
constexpr std::int64_t kLongestOfAWarp = 1024;

struct Rows {
  std::int64_t rows;   ///< heads counted
  std::int64_t heads;  ///< rows between two of a view's rows
  std::int64_t width;
  std::int64_t x_stride, y_stride;
};

template <class T, bool kVectors>
__device__ __forceinline__ Vector<T, kVector> load_run(const T* row, std::int64_t first,
                                                       std::int64_t width) {
  if constexpr (kVectors) {
    return load<kVector>(row + first);
  } else {
    Vector<T, kVector> run;
    for (int i = 0; i < kVector; ++i)
      run.at[i] = first + i < width ? row[first + i] : from_f32<T>(0.0F);
    return run;
  }
}
template <class T, bool kVectors>
__device__ __forceinline__ void store_run(T* row, std::int64_t first, std::int64_t width,
                                          const Vector<T, kVector>& run) {
  if constexpr (kVectors) {
    store(row + first, run);
  } else {
    for (int i = 0; i < kVector; ++i)
      if (first + i < width) row[first + i] = run.at[i];
  }
}

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

/// Row and thread inside it; false: there is no such row, the same for all threads that share one.
template <int kThreads>
__device__ __forceinline__ bool find_row(const Rows& shape, std::int64_t& row, int& thread) {
  row = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / kThreads) + threadIdx.x / kThreads;
  thread = static_cast<int>(threadIdx.x) % kThreads;
  return row < shape.rows;
}
__device__ __forceinline__ std::int64_t offset(const Rows& shape, std::int64_t row,
                                               std::int64_t stride) {
  return row / shape.heads * stride + row % shape.heads * shape.width;
}

template <class T, int kThreads, bool kVectors>
__global__ void __launch_bounds__(kBlock)
    rms_norm_kernel(const T* x, const T* weight, float eps, T* y, Rows shape) {
  std::int64_t row = 0;
  int thread = 0;
  if (!find_row<kThreads>(shape, row, thread)) return;
  x += offset(shape, row, shape.x_stride), y += offset(shape, row, shape.y_stride);
  const std::int64_t step = kThreads * kVector, begin = thread * kVector;
  float squares = 0;
  for (std::int64_t first = begin; first < shape.width; first += step) {
    const auto run = load_run<T, kVectors>(x, first, shape.width);
    for (int i = 0; i < kVector; ++i) {
      const float value = to_f32(run.at[i]);
      squares += value * value;
    }
  }
  squares = sum_threads<kThreads>(squares);
  const float scale = 1.0F / sqrtf(squares / static_cast<float>(shape.width) + eps);
  for (std::int64_t first = begin; first < shape.width; first += step) {
    auto run = load_run<T, kVectors>(x, first, shape.width);
    const auto by = load_run<T, kVectors>(weight, first, shape.width);
    for (int i = 0; i < kVector; ++i)
      run.at[i] = from_f32<T>(to_f32(by.at[i]) * rounded<T>(to_f32(run.at[i]) * scale));
    store_run<T, kVectors>(y, first, shape.width, run);
  }
}

template <class T, int kThreads, bool kVectors>
__global__ void __launch_bounds__(kBlock)
    layer_norm_kernel(const T* x, const T* weight, const T* bias, float eps, T* y, Rows shape) {
  std::int64_t row = 0;
  int thread = 0;
  if (!find_row<kThreads>(shape, row, thread)) return;
  x += offset(shape, row, shape.x_stride), y += offset(shape, row, shape.y_stride);
  const std::int64_t step = kThreads * kVector, begin = thread * kVector;
  float sum = 0;
  for (std::int64_t first = begin; first < shape.width; first += step) {
    const auto run = load_run<T, kVectors>(x, first, shape.width);
    for (int i = 0; i < kVector; ++i) sum += to_f32(run.at[i]);
  }
  const float mean = sum_threads<kThreads>(sum) / static_cast<float>(shape.width);
  float squares = 0;
  for (std::int64_t first = begin; first < shape.width; first += step) {
    const auto run = load_run<T, kVectors>(x, first, shape.width);
    for (int i = 0; i < kVector; ++i) {
      const float centred = to_f32(run.at[i]) - mean;
      if (first + i < shape.width) squares += centred * centred;
    }
  }
  squares = sum_threads<kThreads>(squares);
  const float scale = 1.0F / sqrtf(squares / static_cast<float>(shape.width) + eps);
  for (std::int64_t first = begin; first < shape.width; first += step) {
    auto run = load_run<T, kVectors>(x, first, shape.width);
    const auto by = load_run<T, kVectors>(weight, first, shape.width);
    const auto plus = load_run<T, kVectors>(bias, first, shape.width);
    for (int i = 0; i < kVector; ++i)
      run.at[i] = from_f32<T>(
          __fmaf_rn((to_f32(run.at[i]) - mean) * scale, to_f32(by.at[i]), to_f32(plus.at[i])));
    store_run<T, kVectors>(y, first, shape.width, run);
  }
}

Rows rows_of(const ConstTensorView& x, const ConstTensorView& y) {
  const std::int64_t heads = x.shape().rank() == 3 ? x.dim(1) : 1;
  return {x.dim(0) * heads, heads, x.dim(-1), x.row_stride(), y.row_stride()};
}

/// body(threads per row, whether it takes vectors, grid), the first two as constants.
template <class Body>
void on_layout(const Rows& shape, bool vectors, Body&& body) {
  const auto with = [&](auto threads) {
    const Grid grid{ceil_div(shape.rows, kBlock / threads)};
    vectors ? body(threads, std::true_type{}, grid) : body(threads, std::false_type{}, grid);
  };
  shape.width <= kLongestOfAWarp ? with(std::integral_constant<int, kWarp>{})
                                 : with(std::integral_constant<int, kBlock>{});
}

}  // namespace

void rms_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, float eps,
              TensorView y) {
  const Rows shape = rows_of(x, y);
  on_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    on_layout(shape, takes_vectors(shape.width, x, weight.reshape({1, shape.width}), y),
              [&](auto threads, auto vectors, Grid grid) {
                launch(ctx, rms_norm_kernel<T, threads, vectors>, grid, kBlock, 0, pointer<T>(x),
                       pointer<T>(weight), eps, pointer<T>(y), shape);
              });
  });
}

void layer_norm(Cuda, Context& ctx, ConstTensorView x, ConstTensorView weight, ConstTensorView bias,
                float eps, TensorView y) {
  const Rows shape = rows_of(x, y);
  on_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const Shape one_row{1, shape.width};
    on_layout(shape,
              takes_vectors(shape.width, x, weight.reshape(one_row), bias.reshape(one_row), y),
              [&](auto threads, auto vectors, Grid grid) {
                launch(ctx, layer_norm_kernel<T, threads, vectors>, grid, kBlock, 0, pointer<T>(x),
                       pointer<T>(weight), pointer<T>(bias), eps, pointer<T>(y), shape);
              });
  });
}

}  // namespace retinue::ops::detail
