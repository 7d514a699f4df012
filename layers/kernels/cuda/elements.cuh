#pragma once

// Tested through tests/layers/ops/add_test.cpp.

#include "layers/kernels/cuda/launch.h"
#include "parallel/base/check.h"
#include "parallel/device/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>
#include <type_traits>

/// Shared by row-wise kernels: elements in f32 and back, vectors of them, one thread per vector.
namespace retinue::cuda {

__device__ __forceinline__ float to_f32(float x) { return x; }
__device__ __forceinline__ float to_f32(__nv_bfloat16 x) { return __bfloat162float(x); }
/// Rounds to nearest even.
template <class T>
__device__ __forceinline__ T from_f32(float x) {
  if constexpr (std::is_same_v<T, float>)
    return x;
  else
    return __float2bfloat16_rn(x);
}
/// x as a tensor of T would hold it.
template <class T>
__device__ __forceinline__ float rounded(float x) {
  return to_f32(from_f32<T>(x));
}

/// Two e4m3, in the upper byte of each half, as bf16, which holds every value exactly.
///
/// With its exponent and mantissa moved to where bf16 has them, e4m3 is 2⁻¹²⁰ of its value, because
/// the exponents' biases are 7 and 127; subnormal numbers, too, which stay subnormal. The product
/// with 2¹²⁰ is exact. A NaN becomes 480.
__device__ __forceinline__ std::uint32_t widen_e4m3_pair(std::uint32_t bytes) {
  const std::uint32_t bits = (bytes & 0x80008000U) | (bytes >> 4 & 0x07F007F0U);
  __nv_bfloat162 pair;
  std::memcpy(&pair, &bits, sizeof pair);
  pair = __hmul2(pair, __float2bfloat162_rn(0x1p120F));
  std::uint32_t wide = 0;
  std::memcpy(&wide, &pair, sizeof wide);
  return wide;
}

/// Four e4m3 as two pairs of bf16, in order.
__device__ __forceinline__ void widen_e4m3(std::uint32_t bytes, std::uint32_t (&pairs)[2]) {
  pairs[0] = widen_e4m3_pair(__byte_perm(bytes, 0, 0x1404));
  pairs[1] = widen_e4m3_pair(__byte_perm(bytes, 0, 0x3424));
}

/// kCount neighbours, moved by one instruction where 16 bytes hold them.
template <class T, int kCount>
struct alignas(std::min<std::size_t>(16, kCount * sizeof(T))) Vector {
  T at[kCount];
};
template <int kCount, class T>
__device__ __forceinline__ Vector<T, kCount> load(const T* from) {
  return *reinterpret_cast<const Vector<T, kCount>*>(from);
}
template <int kCount, class T>
__device__ __forceinline__ void store(T* to, const Vector<T, kCount>& x) {
  *reinterpret_cast<Vector<T, kCount>*>(to) = x;
}

/// Elements per vector where all operands are aligned.
constexpr int kVector = 8;

/// Elements [first, first + kVector) of a row that ends at `width`, zeros past its end: loaded as a
/// vector with kVectors, one by one without.
template <bool kVectors, class T>
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
template <bool kVectors, class T>
__device__ __forceinline__ void store_run(T* row, std::int64_t first, std::int64_t width,
                                          const Vector<T, kVector>& run) {
  if constexpr (kVectors) {
    store(row + first, run);
  } else {
    for (int i = 0; i < kVector; ++i)
      if (first + i < width) row[first + i] = run.at[i];
  }
}

/// body(float{}) or body(__nv_bfloat16{}).
template <class Body>
void on_element(DType dtype, Body&& body) {
  if (dtype == DType::kF32)
    body(float{});
  else if (dtype == DType::kBF16)
    body(__nv_bfloat16{});
  else
    check(false, "an element type that no kernel serves");
}

template <class T>
const T* pointer(const ConstTensorView& x) {
  return reinterpret_cast<const T*>(x.bytes());
}
template <class T>
T* pointer(const TensorView& x) {
  return reinterpret_cast<T*>(x.bytes());
}

/// Every row starts at a multiple of `alignment` bytes.
inline bool rows_aligned(const ConstTensorView& x, std::size_t alignment) {
  const std::size_t stride = static_cast<std::size_t>(x.row_stride()) * size_bytes(x.dtype());
  return reinterpret_cast<std::uintptr_t>(x.bytes()) % alignment == 0 && stride % alignment == 0;
}
/// Rows of `width` elements are whole vectors, aligned ones in all of `views`.
template <class... Views>
bool takes_vectors(std::int64_t width, const Views&... views) {
  return width % kVector == 0 && (rows_aligned(views, 16) && ...);
}
/// body(std::integral_constant<int, n>), n elements per thread: kVector, or one where operands do
/// not allow it.
template <class Body>
void on_vector(bool vectors, Body&& body) {
  if (vectors)
    body(std::integral_constant<int, kVector>{});
  else
    body(std::integral_constant<int, 1>{});
}

/// n / d and n % d of numbers below 2^32: GPUs divide 64 bits by a call of a hundred instructions.
struct Quotient {
  std::int64_t whole, rest;
};
__device__ __forceinline__ Quotient divide(std::int64_t n, std::int64_t d) {
  const auto short_n = static_cast<std::uint32_t>(n), short_d = static_cast<std::uint32_t>(d);
  return {short_n / short_d, short_n % short_d};
}

template <class Op>
__global__ void __launch_bounds__(256) over_rows_kernel(Op op, std::int64_t vectors) {
  const std::int64_t vector = static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  if (vector < vectors) op(static_cast<std::int64_t>(blockIdx.x), vector);
}

/// op(row, vector) for each of `vectors` pieces of each of `rows` rows, a thread each. `op` is a
/// struct of pointers and numbers with a __device__ operator().
template <class Op>
void over_rows(Context& ctx, std::int64_t rows, std::int64_t vectors, const Op& op) {
  const auto threads = std::clamp<std::int64_t>(round_up(vectors, 32), 32, 256);
  launch(ctx, over_rows_kernel<Op>, {rows, ceil_div(vectors, threads)}, static_cast<int>(threads),
         0, op, vectors);
}

}  // namespace retinue::cuda
