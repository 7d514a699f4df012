#pragma once

// Tested through tests/layers/ops/attention_test.cpp.

#include "layers/kernels/cuda/attention_stages.cuh"
#include "layers/kernels/cuda/attention_warp.cuh"
#include "layers/kernels/cuda/ptx.cuh"
#include "parallel/device/tensor.h"

#include <cstdint>
#include <cuda_bf16.h>

/// Attention of one tile of 64 query rows over a range of keys, for both attention ops. Needs nvcc.
///
/// Keys are walked from 0 in tiles of 32 or 64 with a running maximum (Milakov & Gimelshein 2018,
/// arXiv:1805.02867); every 512 keys a new partial result starts, and partial results are merged in
/// ascending order, the first one with nothing (which leaves it unchanged). Masked keys add exact
/// zeros and masked splits are skipped per row, so a row's bits depend on that row's keys alone.
/// They do not depend on whether one thread block merges the splits, or each split has a thread
/// block and `merge` runs later (arXiv:2311.01282).
namespace retinue::cuda {

/// The tile of a thread block. Sequence s owns the tiles from rows_before(s) / 64 + s on: that
/// leaves room for all of its rows, and needs no sum over the sequences before it.
struct AttentionTilePlace {
  int sequence;
  int first_row;  ///< past the sequence's last row where the tile has no rows
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

/// All keys of [first_key, end_key) against the rows of this thread block; splits merge in order.
///   query(row)      -> const __nv_bfloat16*            asked for rows of the tile that exist
///   key_value(key)  -> KeyAndValue or E4m3KeyAndValue  asked for keys below end_key
///   row_keys(row)   -> int                             keys that the row sees, from key 0 on
/// All threads of the block call it; rows and splits without a visible key stay at reset().
template <int kDim, class Query, class KeyValue, class RowKeys>
__device__ __forceinline__ void attend(const AttentionWork& work, const Query& query,
                                       const KeyValue& key_value, const RowKeys& row_keys,
                                       AttentionState<kDim>& total) {
  constexpr int kStride = kAttentionStride<kDim>;
  constexpr int kChunks = kDim / 8;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  auto* const queries = dynamic_shared<__nv_bfloat16>();
  using Stages = AttentionStages<kDim, decltype(key_value(0))>;
  const Stages stages{queries + kAttentionRows * kStride};

  total.reset();
  if (work.first_key >= work.end_key) return;
  for (int i = thread; i < kAttentionRows * kChunks; i += kAttentionThreads) {
    const int row = i / kChunks, channel = i % kChunks * 8;
    const bool valid = row < work.rows;
    copy_channels(queries + row * kStride + channel, query(valid ? row : 0), channel, valid, work);
  }
  stages.load(work, key_value, work.first_key, 0);
  copy_async_commit();

  int seen[2];
  for (int h = 0; h < 2; ++h) {
    const int row = warp * 16 + lane / 4 + 8 * h;
    seen[h] = row < work.rows ? row_keys(row) : 0;
  }
  // The last row sees the most keys: it decides whether this warp needs a tile.
  const int last_row = min(warp * 16 + 15, work.rows - 1);
  const int warp_seen = warp * 16 < work.rows ? row_keys(last_row) : 0;

  AttentionState<kDim> partial;
  partial.reset();
  int stage = 0;
  for (int key = work.first_key; key < work.end_key; key += kAttentionTile<kDim>, stage ^= 1) {
    const int next = key + kAttentionTile<kDim>;
    if (next < work.end_key) stages.load(work, key_value, next, stage ^ 1);
    copy_async_commit();  // empty after the last tile, so that the wait below always leaves one
    copy_async_wait<1>();
    const AttentionTile tile = stages.ready(stage);
    __syncthreads();
    if (key < warp_seen) {
      const int visible[2] = {seen[0] - key, seen[1] - key};
      attend_tile<kDim, Stages::kScaled>(queries + warp * 16 * kStride, tile, visible,
                                         work.scale_log2, partial);
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
