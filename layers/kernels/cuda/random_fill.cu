#include "layers/kernels/cuda/elements.cuh"
#include "layers/ops/random_fill.h"

#include <cuda_fp8.h>
#include <type_traits>

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kThreads = 256;

/// The functions of parallel/base/rng.h, for the device.
__device__ __forceinline__ std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/// `value` as an element: rounded to bf16 first.
template <class T>
__device__ __forceinline__ T element_of(float value) {
  if constexpr (std::is_same_v<T, __nv_fp8_e4m3>)
    return __nv_fp8_e4m3(rounded<__nv_bfloat16>(value));
  else
    return from_f32<T>(rounded<__nv_bfloat16>(value));
}

/// A thread per element.
template <class T>
__global__ void __launch_bounds__(kThreads)
    random_fill_kernel(RandomRule rule, std::int64_t first, std::int64_t width, T* y,
                       std::int64_t y_stride, std::int64_t rows, std::int64_t columns) {
  const std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= rows * columns) return;
  const std::int64_t r = at / columns, c = at % columns;
  const auto i = static_cast<std::uint64_t>(first + r * width + c);
  const std::uint64_t bits = mixed(rule.key + (i + 1) * 0x9E3779B97F4A7C15ULL);
  const double unit = static_cast<double>(bits >> 40) / 8388608.0 - 1.0;
  const auto value = static_cast<float>(rule.centre + rule.spread * unit);
  y[r * y_stride + c] = element_of<T>(value);
}

}  // namespace

void random_fill(Cuda, Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y) {
  const auto fill = [&](auto element) {
    using T = decltype(element);
    launch(ctx, random_fill_kernel<T>, {ceil_div(y.numel(), kThreads)}, kThreads, 0, rule, first,
           width, pointer<T>(y), y.row_stride(), y.dim(0), y.dim(1));
  };
  if (y.dtype() == DType::kF8E4M3)
    fill(__nv_fp8_e4m3{});
  else
    on_element(y.dtype(), fill);
}

}  // namespace retinue::ops::detail
