#pragma once

// Tested through tests/layers/ops/paged_attention_test.cpp.

#include "layers/kernels/cuda/attention_warp.cuh"
#include "layers/kernels/cuda/kv_e4m3.cuh"
#include "layers/kernels/cuda/ptx.cuh"

#include <cstdint>
#include <cuda_bf16.h>

/// Tiles of keys and values on their way through shared memory, for both attention ops. Two stages:
/// one is filled while the other is read. Needs nvcc.
namespace retinue::cuda {

struct AttentionWork {
  int rows;                ///< of this tile, at most 64
  int first_key, end_key;  ///< first_key: a multiple of the split
  int head_dim;
  float scale_log2;  ///< the softmax's scale, times log2(e)
  bool aligned;      ///< all rows of bf16 in global memory are whole 16-byte vectors
};

struct KeyAndValue {
  const __nv_bfloat16* key;
  const __nv_bfloat16* value;
};
/// The same in e4m3, every row aligned to 16 bytes. The scales of four keys from a multiple of four
/// on lie side by side, aligned alike; so do those of their values.
struct E4m3KeyAndValue {
  const Float8E4M3 *key, *value;
  const float *key_scale, *value_scale;
};

/// Copies eight channels to shared memory, zeros past the last channel.
__device__ __forceinline__ void copy_channels(__nv_bfloat16* to, const __nv_bfloat16* from,
                                              int channel, bool valid, const AttentionWork& work) {
  if (work.aligned) {
    valid = valid && channel < work.head_dim;
    copy_async_16_or_zero(to, valid ? from + channel : from, valid);
    return;
  }
  for (int i = 0; i < 8; ++i)
    to[i] = valid && channel + i < work.head_dim ? from[channel + i] : __float2bfloat16(0.0F);
}

/// Both stages.
///   load(work, key_value, key, stage)  starts the copies of the tile that begins with this key, in
///                                      the thread's current group of copies
///   ready(stage)                       the tile; all threads of the block call it once their own
///                                      copies have arrived, and read the tile behind a barrier
///   key_value(key) -> From             asked for keys below work.end_key
template <int kDim, class From>
struct AttentionStages;

template <int kDim>
struct AttentionStages<kDim, KeyAndValue> {
  static constexpr int kTile = kAttentionTile<kDim>, kStride = kAttentionStride<kDim>;
  static constexpr std::size_t kBytes = std::size_t{4} * kTile * kStride * sizeof(__nv_bfloat16);
  static constexpr bool kScaled = false;
  __nv_bfloat16* memory;

  template <class At>
  __device__ __forceinline__ void load(const AttentionWork& work, const At& key_value, int tile_key,
                                       int stage) const {
    constexpr int kChunks = kDim / 8;
    __nv_bfloat16* const keys = memory + stage * 2 * kTile * kStride;
    __nv_bfloat16* const values = keys + kTile * kStride;
    const int thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < kTile * kChunks; i += kAttentionThreads) {
      const int row = i / kChunks, channel = i % kChunks * 8;
      // Values past the end are multiplied by probabilities of zero and must not be NaN.
      const bool valid = tile_key + row < work.end_key;
      const KeyAndValue from = key_value(valid ? tile_key + row : work.first_key);
      copy_channels(keys + row * kStride + channel, from.key, channel, valid, work);
      copy_channels(values + row * kStride + channel, from.value, channel, valid, work);
    }
  }
  [[nodiscard]] __device__ __forceinline__ AttentionTile ready(int stage) const {
    const __nv_bfloat16* const keys = memory + stage * 2 * kTile * kStride;
    return {keys, keys + kTile * kStride};
  }
};

/// The stages hold bytes. ready() widens them into one tile of bf16, which all warps read: widened
/// in registers instead, each warp would do that work again.
template <int kDim>
struct AttentionStages<kDim, E4m3KeyAndValue> {
  static constexpr int kTile = kAttentionTile<kDim>, kStride = kAttentionStride<kDim>;
  static constexpr int kMatrix = kTile * kDim;              ///< bytes of keys, or of values
  static constexpr int kStage = 2 * (kMatrix + 4 * kTile);  ///< and their scales
  static constexpr std::size_t kWideBytes =
      std::size_t{2} * kTile * kStride * sizeof(__nv_bfloat16);
  static constexpr std::size_t kBytes = kWideBytes + 2 * kStage;
  static constexpr bool kScaled = true;
  __nv_bfloat16* memory;

  __device__ __forceinline__ unsigned char* stage_at(int stage) const {
    return reinterpret_cast<unsigned char*>(memory) + kWideBytes + stage * kStage;
  }
  /// Warp w copies, and later widens, the w-th quarter of the rows: it need not wait for others.
  static constexpr int kWarps = kAttentionThreads / 32;
  static constexpr int kChunks = kMatrix / 16 / kWarps;
  static_assert(kChunks % 32 == 0);

  template <class At>
  __device__ __forceinline__ void load(const AttentionWork& work, const At& key_value, int tile_key,
                                       int stage) const {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
    unsigned char* const to = stage_at(stage);
#pragma unroll
    for (int i = lane; i < kChunks; i += 32) {
      const int byte = (warp * kChunks + i) * 16, row = byte / kDim, channel = byte % kDim;
      // Values past the end are multiplied by probabilities of zero and must not be NaN.
      const bool valid = tile_key + row < work.end_key;
      const bool copies = valid && channel < work.head_dim;
      const E4m3KeyAndValue from = key_value(valid ? tile_key + row : work.first_key);
      const int inside = copies ? channel : 0;
      copy_async_16_or_zero(to + byte, from.key + inside, copies);
      copy_async_16_or_zero(to + kMatrix + byte, from.value + inside, copies);
    }
    if (thread < kTile / 4) {  // a thread has the scales of four keys
      const bool valid = tile_key + 4 * thread < work.end_key;
      const E4m3KeyAndValue from = key_value(valid ? tile_key + 4 * thread : work.first_key);
      unsigned char* const scales = to + 2 * kMatrix + 16 * thread;
      copy_async_16_or_zero(scales, from.key_scale, valid);
      copy_async_16_or_zero(scales + 4 * kTile, from.value_scale, valid);
    }
  }
  [[nodiscard]] __device__ __forceinline__ AttentionTile ready(int stage) const {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const unsigned char* const from = stage_at(stage);
    __syncwarp();  // a lane widens bytes that others have copied
                   // Unrolled further, 128 channels would spill registers.
#pragma unroll 2
    for (int i = lane; i < 2 * kChunks; i += 32) {
      const int byte = (warp * 2 * kChunks + i) * 8;
      const int at = byte / kDim * kStride + byte % kDim;
#pragma unroll
      for (int matrix = 0; matrix < 2; ++matrix)
        *reinterpret_cast<uint4*>(memory + matrix * kTile * kStride + at) =
            widened(*reinterpret_cast<const uint2*>(from + matrix * kMatrix + byte));
    }
    const auto* const scales = reinterpret_cast<const float*>(from + 2 * kMatrix);
    return {memory, memory + kTile * kStride, scales, scales + kTile};
  }
};

/// Queries, then the stages.
template <int kDim, class From = KeyAndValue>
constexpr std::size_t kAttentionSharedBytes = std::size_t{kAttentionRows} * kAttentionStride<kDim> *
                                                  sizeof(__nv_bfloat16) +
                                              AttentionStages<kDim, From>::kBytes;

}  // namespace retinue::cuda
