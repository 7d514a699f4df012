#pragma once

#include "layers/kernels/cuda/ptx.h"
#include "parallel/device/tensor.h"

#include <cstdint>
#include <cuda_bf16.h>

/// Attention of one tile of 64 query rows over a range of keys, for both attention ops. Needs nvcc.
///
/// Keys are walked from 0 in tiles of 32 or 64 with a running maximum (Milakov & Gimelshein 2018,
/// arXiv:1805.02867); every 512 keys a new partial result starts, and partial results are merged in
/// ascending order, the first one with nothing (which leaves it as it is). Masked keys add exact
/// zeros and masked splits are skipped per row, so a row's bits depend on that row's keys alone,
/// and not on whether one block merges the splits or each has a block and `merge` comes later
/// (arXiv:2311.01282).
namespace retinue::cuda {

constexpr int kAttentionThreads = 128;  ///< four warps of 16 rows
constexpr int kAttentionRows = 64;
/// Keys per tile. At 128 channels two results take half of the registers.
template <int kDim>
constexpr int kAttentionTile = kDim > 128 ? 32 : 64;
constexpr int kAttentionSplit = 512;

/// A row's share in shared memory is 16 bytes longer than its channels: eight rows of a matrix then
/// lie in different banks.
template <int kDim>
constexpr int kAttentionStride = kDim + 8;
/// Queries, and two stages of keys and values.
template <int kDim>
constexpr std::size_t kAttentionSharedBytes =
    (kAttentionRows + std::size_t{4} * kAttentionTile<kDim>)*kAttentionStride<kDim> *
    sizeof(__nv_bfloat16);

/// Which of a launch's tiles a block has. Sequence s owns the tiles from rows_before(s) / 64 + s
/// on; that leaves room for all of its rows, and needs no sum over the sequences before it.
struct AttentionTilePlace {
  int sequence;
  int first_row;  ///< may lie behind the sequence's last row: nothing to do then
};
template <class RowsBefore>
__device__ AttentionTilePlace find_attention_tile(int tile, int sequences,
                                                  const RowsBefore& rows_before) {
  int low = 0, high = sequences;  // the last sequence that starts at or before `tile`
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    (rows_before(middle) / kAttentionRows + middle <= tile ? low : high) = middle;
  }
  const std::int64_t first = rows_before(low) / kAttentionRows + low;
  return {low, static_cast<int>(tile - first) * kAttentionRows};
}
constexpr std::int64_t attention_tiles(std::int64_t rows, std::int64_t sequences) {
  return rows / kAttentionRows + sequences;
}

/// How much of two results goes into their merger.
struct MergeWeights {
  float largest, keep, add;
};
__device__ __forceinline__ MergeWeights merge_weights(float total_largest, float partial_largest) {
  const float largest = fmaxf(total_largest, partial_largest);
  const float base = largest == -INFINITY ? 0.0F : largest;
  return {largest, exp2_approx(total_largest - base), exp2_approx(partial_largest - base)};
}
/// For sums as for outputs.
__device__ __forceinline__ float merge(const MergeWeights& weights, float total, float partial) {
  return __fmaf_rn(partial, weights.add, total * weights.keep);
}

/// What a lane holds of its warp's 16 rows, in the layout of an mma's result: [h] is row lane / 4 +
/// 8 h.
template <int kDim>
struct AttentionState {
  float largest[2];  ///< of the scores, times log2(e)
  float sum[2];
  float out[kDim / 8][4];  ///< not yet divided by the sum

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int h = 0; h < 2; ++h) largest[h] = -INFINITY, sum[h] = 0;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) out[n][i] = 0;
  }
};

struct AttentionWork {
  int rows;                ///< of this tile, at most 64
  int first_key, end_key;  ///< first_key: a multiple of the split
  int head_dim;
  float scale_log2;  ///< the softmax's scale, times log2(e)
  bool aligned;      ///< all rows in global memory are whole 16-byte vectors
};

struct KeyAndValue {
  const __nv_bfloat16* key;
  const __nv_bfloat16* value;
};

/// Eight channels to shared memory, zeros where there are none.
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

/// Scores of a warp's 16 rows and a tile of keys, then softmax and values, into `state`.
///   queries  this warp's 16 rows       keys, values  the tile
///   visible  keys that this lane's two rows see, counted from this tile's first
template <int kDim>
__device__ __forceinline__ void attend_tile(const __nv_bfloat16* queries, const __nv_bfloat16* keys,
                                            const __nv_bfloat16* values, const int (&visible)[2],
                                            float scale_log2, AttentionState<kDim>& state) {
  constexpr int kStride = kAttentionStride<kDim>;
  constexpr int kPieces = kAttentionTile<kDim> / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float scores[kPieces][4];
#pragma unroll
  for (int n = 0; n < kPieces; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    std::uint32_t a[4];
    load_matrix_x4(a, queries + lane % 16 * kStride + k + lane / 16 * 8);
#pragma unroll
    for (int n = 0; n < kPieces; n += 2) {
      std::uint32_t b[4];
      load_matrix_x4(b, keys + (n * 8 + lane / 16 * 8 + lane % 8) * kStride + k + lane / 8 % 2 * 8);
      mma_bf16_16x8x16(scores[n], a, {b[0], b[1]});
      mma_bf16_16x8x16(scores[n + 1], a, {b[2], b[3]});
    }
  }

  float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int n = 0; n < kPieces; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = n * 8 + lane % 4 * 2 + i % 2;
      scores[n][i] = key < visible[i / 2] ? scores[n][i] * scale_log2 : -INFINITY;
      largest[i / 2] = fmaxf(largest[i / 2], scores[n][i]);
    }
  float base[2], shrink[2], sum[2] = {0, 0};
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    // The four lanes of a row.
    largest[h] = fmaxf(largest[h], __shfl_xor_sync(0xFFFFFFFFU, largest[h], 1));
    largest[h] = fmaxf(largest[h], __shfl_xor_sync(0xFFFFFFFFU, largest[h], 2));
    largest[h] = fmaxf(largest[h], state.largest[h]);
    base[h] = largest[h] == -INFINITY ? 0.0F : largest[h];  // nothing seen: 2^(-inf - 0) is 0
    shrink[h] = exp2_approx(state.largest[h] - base[h]);
    state.largest[h] = largest[h];
  }
  std::uint32_t probabilities[kPieces][2];
#pragma unroll
  for (int n = 0; n < kPieces; ++n)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const float p0 = exp2_approx(scores[n][2 * h] - base[h]);
      const float p1 = exp2_approx(scores[n][2 * h + 1] - base[h]);
      sum[h] += p0 + p1;
      const __nv_bfloat162 pair = __floats2bfloat162_rn(p0, p1);
      memcpy(&probabilities[n][h], &pair, sizeof pair);
    }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    sum[h] += __shfl_xor_sync(0xFFFFFFFFU, sum[h], 1);
    sum[h] += __shfl_xor_sync(0xFFFFFFFFU, sum[h], 2);
    state.sum[h] = __fmaf_rn(state.sum[h], shrink[h], sum[h]);
  }
#pragma unroll
  for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) state.out[n][i] *= shrink[i / 2];
#pragma unroll
  for (int k = 0; k < kPieces; k += 2) {
    const std::uint32_t a[4] = {probabilities[k][0], probabilities[k][1], probabilities[k + 1][0],
                                probabilities[k + 1][1]};
#pragma unroll
    for (int n = 0; n < kDim / 8; n += 2) {
      std::uint32_t b[4];
      load_matrix_x4_transposed(b, values + (k * 8 + lane % 16) * kStride + n * 8 + lane / 16 * 8);
      mma_bf16_16x8x16(state.out[n], a, {b[0], b[1]});
      mma_bf16_16x8x16(state.out[n + 1], a, {b[2], b[3]});
    }
  }
}

/// All keys of [first_key, end_key) against this block's rows; the splits merged in order.
///   query(row)      -> const __nv_bfloat16*  asked for rows of the tile that exist
///   key_value(key)  -> KeyAndValue           asked for keys below end_key
///   row_keys(row)   -> int                   keys that the row sees, counted from key 0
/// All threads of the block call it; rows and splits without a visible key stay at reset().
template <int kDim, class Query, class KeyValue, class RowKeys>
__device__ __forceinline__ void attend(const AttentionWork& work, const Query& query,
                                       const KeyValue& key_value, const RowKeys& row_keys,
                                       AttentionState<kDim>& total) {
  constexpr int kStride = kAttentionStride<kDim>;
  constexpr int kChunks = kDim / 8;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  auto* const queries = dynamic_shared<__nv_bfloat16>();
  __nv_bfloat16* const stages = queries + kAttentionRows * kStride;

  const auto load = [&](int tile_key, int stage) {
    __nv_bfloat16* const keys = stages + stage * 2 * kAttentionTile<kDim> * kStride;
    __nv_bfloat16* const values = keys + kAttentionTile<kDim> * kStride;
    for (int i = thread; i < kAttentionTile<kDim> * kChunks; i += kAttentionThreads) {
      const int row = i / kChunks, channel = i % kChunks * 8;
      // Values behind the end are multiplied by probabilities of zero and must not be NaN.
      const bool valid = tile_key + row < work.end_key;
      const KeyAndValue from = key_value(valid ? tile_key + row : work.first_key);
      copy_channels(keys + row * kStride + channel, from.key, channel, valid, work);
      copy_channels(values + row * kStride + channel, from.value, channel, valid, work);
    }
  };

  total.reset();
  if (work.first_key >= work.end_key) return;
  for (int i = thread; i < kAttentionRows * kChunks; i += kAttentionThreads) {
    const int row = i / kChunks, channel = i % kChunks * 8;
    const bool valid = row < work.rows;
    copy_channels(queries + row * kStride + channel, query(valid ? row : 0), channel, valid, work);
  }
  load(work.first_key, 0);
  copy_async_commit();

  int seen[2];
  for (int h = 0; h < 2; ++h) {
    const int row = warp * 16 + lane / 4 + 8 * h;
    seen[h] = row < work.rows ? row_keys(row) : 0;
  }
  // Rows see more and more keys: the last one decides whether this warp needs a tile.
  const int last_row = min(warp * 16 + 15, work.rows - 1);
  const int warp_seen = warp * 16 < work.rows ? row_keys(last_row) : 0;

  AttentionState<kDim> partial;
  partial.reset();
  int stage = 0;
  for (int key = work.first_key; key < work.end_key; key += kAttentionTile<kDim>, stage ^= 1) {
    const int next = key + kAttentionTile<kDim>;
    if (next < work.end_key) load(next, stage ^ 1);
    copy_async_commit();  // empty behind the last tile, so that one may always be under way
    copy_async_wait<1>();
    __syncthreads();
    if (key < warp_seen) {
      const __nv_bfloat16* const keys = stages + stage * 2 * kAttentionTile<kDim> * kStride;
      const int visible[2] = {seen[0] - key, seen[1] - key};
      attend_tile<kDim>(queries + warp * 16 * kStride, keys, keys + kAttentionTile<kDim> * kStride,
                        visible, work.scale_log2, partial);
    }
    if (next % kAttentionSplit == 0 || next >= work.end_key) {
      const int split = key / kAttentionSplit * kAttentionSplit;
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        if (split >= seen[h]) continue;
        const MergeWeights weights = merge_weights(total.largest[h], partial.largest[h]);
        total.largest[h] = weights.largest;
        total.sum[h] = merge(weights, total.sum[h], partial.sum[h]);
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
          for (int i = 2 * h; i < 2 * h + 2; ++i)
            total.out[n][i] = merge(weights, total.out[n][i], partial.out[n][i]);
      }
      partial.reset();
    }
    __syncthreads();  // the stage is written again in the next round
  }
}

/// body(row of the tile, h) and, for each of this lane's channels, store(row, channel, h, value).
template <int kDim, class Store>
__device__ __forceinline__ void for_each_output(const AttentionWork& work,
                                                const AttentionState<kDim>& state,
                                                const Store& store) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = warp * 16 + lane / 4 + 8 * h;
    if (row >= work.rows) continue;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int channel = n * 8 + lane % 4 * 2 + i;
        if (channel < work.head_dim) store(row, channel, h, state.out[n][2 * h + i]);
      }
  }
}

/// Whether every row is made of whole 16-byte vectors.
inline bool rows_are_vectors(const ConstTensorView& rows, std::int64_t head_dim) {
  return reinterpret_cast<std::uintptr_t>(rows.data<BFloat16>()) % 16 == 0 &&
         rows.row_stride() % 8 == 0 && head_dim % 8 == 0;
}

constexpr float kLog2E = 1.4426950408889634F;

}  // namespace retinue::cuda
