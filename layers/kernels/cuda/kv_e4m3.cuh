#pragma once

// Tested through tests/layers/ops/kv_write_test.cpp and paged_attention_test.cpp.

#include "layers/kernels/cuda/elements.cuh"
#include "layers/ops/kv_view.h"

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp8.h>

/// Keys and values of e4m3, as ops/kv_view.h says. Needs nvcc.
namespace retinue::cuda {

/// A KV cache of e4m3 in device memory.
struct E4m3Cache {
  Float8E4M3* blocks;
  std::int64_t kv_block_stride;
  int block_size, head_dim;

  /// The keys of a KV head in a KV block. Its values and their scales lie behind them.
  __device__ __forceinline__ Float8E4M3* keys(std::int64_t kv_block, int kv_head) const {
    constexpr int kScaleBytes = sizeof(float);
    return blocks + kv_block * kv_block_stride +
           std::int64_t{2} * kv_head * block_size * (head_dim + kScaleBytes);
  }
  [[nodiscard]] __device__ __forceinline__ int head_numel() const { return block_size * head_dim; }
  /// The scales of a head's keys, and those of its values behind them.
  __device__ __forceinline__ float* scales(Float8E4M3* keys) const {
    return reinterpret_cast<float*>(keys + 2 * head_numel());
  }
};

inline E4m3Cache e4m3_cache(const ops::KvView& cache) {
  check(rows_aligned(cache.data, 16), "a KV cache of f8_e4m3 is aligned to 16 bytes");
  return {pointer<Float8E4M3>(cache.data), cache.data.row_stride(),
          static_cast<int>(cache.block_size), static_cast<int>(cache.head_dim)};
}

/// Lanes that share a head, a power of two: each holds a run of kVector channels.
inline int lanes_of_head(std::int64_t head_dim) {
  int lanes = 2;
  while (lanes * kVector < head_dim) lanes *= 2;
  return lanes;
}

/// A lane's part of a head in e4m3, and the scale of the head.
struct E4m3Run {
  Vector<__nv_fp8x2_storage_t, kVector / 2> q;
  float scale;
};

/// Quantises a head of which `lanes` neighbours hold a run each: channels, then zeros. A warp
/// operation.
template <class T>
__device__ __forceinline__ E4m3Run quantized(const Vector<T, kVector>& x, int lanes) {
  // Compared as integers, a NaN is more than an infinity, and that more than each number.
  unsigned most = 0;
  for (int i = 0; i < kVector; ++i)
    most = max(most, __float_as_uint(to_f32(x.at[i])) & 0x7FFFFFFFU);
  for (int distance = lanes / 2; distance > 0; distance /= 2)
    most = max(most, __shfl_xor_sync(0xFFFFFFFFU, most, distance));
  E4m3Run run;
  run.scale = __fdiv_rn(__uint_as_float(most), kMaxFloat8E4M3);
  const float divisor = run.scale == 0 ? 1.0F : run.scale;
  // As on CPUs: NaN becomes -448, so that only the scale is NaN, and zeros have no sign.
  const auto divided = [&](T value) {
    const float y = __fdiv_rn(to_f32(value), divisor);
    constexpr float kRoundsToZero = 0x1p-10F;
    if (fabsf(y) <= kRoundsToZero) return 0.0F;
    return fminf(fmaxf(y, -kMaxFloat8E4M3), kMaxFloat8E4M3);
  };
  for (int i = 0; i < kVector; i += 2)
    run.q.at[i / 2] = __nv_cvt_float2_to_fp8x2(make_float2(divided(x.at[i]), divided(x.at[i + 1])),
                                               __NV_SATFINITE, __NV_E4M3);
  return run;
}

/// Stores a run of a token's key, or of its value.
///   slot   block · block_size + offset        first  the run's first channel, inside the head
__device__ __forceinline__ void store_e4m3(const E4m3Cache& cache, std::int64_t slot, int kv_head,
                                           bool is_value, int first, const E4m3Run& run) {
  const auto [kv_block, place] = divide(slot, cache.block_size);
  Float8E4M3* const keys = cache.keys(kv_block, kv_head);
  Float8E4M3* const row = keys + (is_value ? cache.head_numel() : 0) + place * cache.head_dim;
  store(reinterpret_cast<__nv_fp8x2_storage_t*>(row + first), run.q);
  if (first == 0) cache.scales(keys)[(is_value ? cache.block_size : 0) + place] = run.scale;
}

/// Eight numbers of e4m3 as bf16, in order; exact.
__device__ __forceinline__ uint4 widened(uint2 bytes) {
  std::uint32_t low[2], high[2];
  widen_e4m3(bytes.x, low);
  widen_e4m3(bytes.y, high);
  return {low[0], low[1], high[0], high[1]};
}

}  // namespace retinue::cuda
