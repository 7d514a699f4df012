#include "layers/kernels/cuda/elements.cuh"
#include "layers/ops/top_k.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kThreads = 1024;
constexpr int kWarp = 32;

/// An integer whose order is the op's: by value, then the lower index first; NaN as inf, -0 as 0.
/// Never 0.
__device__ __forceinline__ unsigned long long key_of(float value, std::uint32_t index) {
  if (!(value == value)) value = INFINITY;
  const std::uint32_t bits = __float_as_uint(value + 0.0F);
  const std::uint32_t ordered = (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  return static_cast<unsigned long long>(ordered) << 32 | ~index;
}

__device__ __forceinline__ unsigned long long larger(unsigned long long a, unsigned long long b) {
  return a > b ? a : b;
}

/// The largest of this thread's elements that comes after `last`; 0: there is none.
template <class T>
__device__ __forceinline__ unsigned long long best_after(const T* row, std::int64_t n,
                                                         unsigned long long last) {
  unsigned long long best = 0;
#pragma unroll 8
  for (std::int64_t i = threadIdx.x; i < n; i += kThreads) {
    const unsigned long long key = key_of(to_f32(row[i]), static_cast<std::uint32_t>(i));
    if (key < last) best = larger(best, key);
  }
  return best;
}

/// A thread block per row. Each thread knows its best element that is not taken yet; the owner of
/// the winner looks for its next one.
template <class T>
__global__ void __launch_bounds__(kThreads)
    top_k_kernel(const T* logits, std::int64_t stride, std::int64_t n, std::int64_t k,
                 std::int32_t first_id, float* values, std::int64_t values_stride,
                 std::int32_t* ids, std::int64_t ids_stride) {
  __shared__ unsigned long long of_warp[kThreads / kWarp];
  const std::int64_t row = blockIdx.x;
  logits += row * stride;
  unsigned long long best = best_after(logits, n, ~0ULL);
  for (std::int64_t rank = 0; rank < k; ++rank) {
    unsigned long long winner = best;
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      winner = larger(winner, __shfl_xor_sync(0xFFFFFFFFU, winner, distance));
    __syncthreads();  // the last winner has been read
    if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = winner;
    __syncthreads();
    winner = of_warp[threadIdx.x % kWarp];
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
      winner = larger(winner, __shfl_xor_sync(0xFFFFFFFFU, winner, distance));
    if (winner != best) continue;
    const std::uint32_t index = ~static_cast<std::uint32_t>(winner);
    values[row * values_stride + rank] = to_f32(logits[index]);
    ids[row * ids_stride + rank] = first_id + static_cast<std::int32_t>(index);
    if (rank + 1 < k) best = best_after(logits, n, winner);
  }
}

}  // namespace

void top_k(Cuda, Context& ctx, ConstTensorView logits, std::int64_t first_id, TensorView values,
           TensorView ids) {
  on_element(logits.dtype(), [&](auto element) {
    using T = decltype(element);
    launch(ctx, top_k_kernel<T>, {logits.dim(0)}, kThreads, 0, pointer<T>(logits),
           logits.row_stride(), logits.dim(1), values.dim(1), static_cast<std::int32_t>(first_id),
           values.data<float>(), values.row_stride(), ids.data<std::int32_t>(), ids.row_stride());
  });
}

}  // namespace retinue::ops::detail
