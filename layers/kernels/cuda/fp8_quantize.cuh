#pragma once

// Tested through tests/layers/ops/matmul_input_test.cpp and fp8_matmul_test.cpp.

#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_operand.h"
#include "layers/ops/fp8_matmul.h"

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp8.h>

/// Groups of 128 inputs in e4m3, for every kernel whose result is x of a product. Needs nvcc.
namespace retinue::cuda {

constexpr int kFp8GroupInputs = ops::kFp8Group;
/// Neighbouring threads that share a group where each has a run of kVector: half a warp.
constexpr int kThreadsOfFp8Group = kFp8GroupInputs / kVector;

/// |x| as an integer: a NaN is more than an infinity, and that more than each number.
__device__ __forceinline__ unsigned magnitude(__nv_bfloat16 x) {
  return static_cast<unsigned>(__bfloat16_as_ushort(x)) & 0x7FFFU;
}

/// The scale of a group, and what its values are divided by.
struct Fp8Scale {
  float scale, divisor;
};
///   most  the largest magnitude() of the group
__device__ __forceinline__ Fp8Scale fp8_scale(unsigned most) {
  const float scale = __fdiv_rn(__uint_as_float(most << 16), kMaxFloat8E4M3);
  return {scale, most == 0 ? 1.0F : scale};
}
__device__ __forceinline__ __nv_fp8x2_storage_t fp8_pair(__nv_bfloat16 first, __nv_bfloat16 second,
                                                         float divisor) {
  return __nv_cvt_float2_to_fp8x2(
      make_float2(__fdiv_rn(to_f32(first), divisor), __fdiv_rn(to_f32(second), divisor)),
      __NV_SATFINITE, __NV_E4M3);
}

__device__ __forceinline__ void store_fp8_scale(const Fp8Operand& to, int row, int group,
                                                float scale) {
  const int first = row / to.chunk * to.chunk;
  const std::int64_t groups = to.inputs / kFp8GroupInputs;
  to.scales[first * groups + std::int64_t{group} * min(to.chunk, to.padded - first) + row - first] =
      scale;
}
/// Two neighbours of a row, from the input `at` on.
__device__ __forceinline__ void store_fp8_pair(const Fp8Operand& to, int row, int at,
                                               __nv_fp8x2_storage_t q) {
  const std::int64_t element = std::int64_t{row} * to.inputs + at;
  if (to.widened)
    *reinterpret_cast<std::uint32_t*>(to.q + element * 2) =
        widen_e4m3_pair(__byte_perm(q, 0, 0x1404));
  else
    *reinterpret_cast<__nv_fp8x2_storage_t*>(to.q + element) = q;
}
/// A run of a row, from the input `at` on, and the scale of its group if it is the first of it.
__device__ __forceinline__ void store_fp8_run(const Fp8Operand& to, int row, int at,
                                              const Vector<__nv_fp8x2_storage_t, kVector / 2>& q,
                                              float scale) {
  const std::int64_t element = std::int64_t{row} * to.inputs + at;
  if (to.widened) {
    Vector<std::uint32_t, kVector / 2> wide;
#pragma unroll
    for (int i = 0; i < kVector / 2; i += 2) {
      std::uint32_t pairs[2];
      widen_e4m3(q.at[i] | static_cast<std::uint32_t>(q.at[i + 1]) << 16, pairs);
      wide.at[i] = pairs[0], wide.at[i + 1] = pairs[1];
    }
    store(reinterpret_cast<std::uint32_t*>(to.q + element * 2), wide);
  } else {
    store(reinterpret_cast<__nv_fp8x2_storage_t*>(to.q + element), q);
  }
  if (at % kFp8GroupInputs == 0) store_fp8_scale(to, row, at / kFp8GroupInputs, scale);
}

/// Quantises a run of a row, from the input `at` on. The threads of its group call it together, each
/// with the run of its place.
__device__ __forceinline__ void quantize_run(const Fp8Operand& to, int row, int at,
                                             const Vector<__nv_bfloat16, kVector>& x) {
  unsigned most = 0;
#pragma unroll
  for (int i = 0; i < kVector; ++i) most = max(most, magnitude(x.at[i]));
  // A row may end in the middle of a warp, but not of a group.
  const unsigned lanes = 0xFFFFU << (threadIdx.x & kThreadsOfFp8Group);
#pragma unroll
  for (int distance = kThreadsOfFp8Group / 2; distance > 0; distance /= 2)
    most = max(most, __shfl_xor_sync(lanes, most, distance));
  const Fp8Scale scale = fp8_scale(most);
  Vector<__nv_fp8x2_storage_t, kVector / 2> q;
#pragma unroll
  for (int i = 0; i < kVector; i += 2) q.at[i / 2] = fp8_pair(x.at[i], x.at[i + 1], scale.divisor);
  store_fp8_run(to, row, at, q, scale.scale);
}

/// Zeros in rows past the last one, in `count` groups from `group` on. All threads of a block call it.
__device__ __forceinline__ void store_fp8_padding(const Fp8Operand& to, int group, int count) {
  const int runs = count * kThreadsOfFp8Group;
#pragma unroll 1  // seldom any round
  for (int i = static_cast<int>(threadIdx.x); i < (to.padded - to.rows) * runs;
       i += static_cast<int>(blockDim.x))
    store_fp8_run(to, to.rows + i / runs, group * kFp8GroupInputs + i % runs * kVector, {}, 0.0F);
}

}  // namespace retinue::cuda
