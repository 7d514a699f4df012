#pragma once

// Tested through tests/layers/ops/paged_attention_test.cpp.

#include "layers/kernels/cuda/attention_stages.cuh"
#include "layers/kernels/cuda/attention_warp.cuh"
#include "layers/kernels/cuda/ptx.cuh"

#include <cstdint>
#include <cuda_bf16.h>

/// Attention of at most 16 query rows, as a token that is decoded has them: four warps share each
/// tile of keys. For the scores a warp has 16 of the keys; for the values, a quarter of the
/// channels. Needs nvcc.
///
/// The bits are those of attention_tile.cuh. The largest score is the same in any order, each score
/// and each output is still added up by one thread in the order of channels and keys, and the sum
/// of probabilities is put together in the order in which one warp would add it.
namespace retinue::cuda {

constexpr int kFewRows = 16;

/// What the warps share of a tile, in shared memory.
template <int kDim>
struct AttentionExchange {
  static constexpr int kTile = kAttentionTile<kDim>;
  static constexpr int kStride = kTile + 8;   ///< of probabilities; see kAttentionStride
  static constexpr int kOwners = kTile / 16;  ///< warps that have keys
  alignas(16) __nv_bfloat16 probabilities[kFewRows * kStride];
  float sums[kTile / 8][2][32];  ///< of a lane's two keys of each eight, for its two rows
  float largest[kOwners][kFewRows];
};

/// A lane's part of the 16 rows: [h] is for row lane / 4 + 8 h. All warps have the same maxima and
/// sums; warp w has the outputs of channels from w · kDim / 4 on.
template <int kDim>
struct FewRowsState {
  static constexpr int kPieces = kDim / 4 / 8;
  float largest[2], sum[2], out[kPieces][4];

  __device__ __forceinline__ void reset() {
#pragma unroll
    for (int h = 0; h < 2; ++h) largest[h] = -INFINITY, sum[h] = 0;
#pragma unroll
    for (int n = 0; n < kPieces; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) out[n][i] = 0;
  }
  /// Adds the result of later keys to that of row half h.
  __device__ __forceinline__ void add(const FewRowsState& later, int h) {
    const MergeWeights weights = merge_weights(largest[h], later.largest[h]);
    largest[h] = weights.largest;
    sum[h] = merge(weights, sum[h], later.sum[h]);
#pragma unroll
    for (int n = 0; n < kPieces; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i)
        out[n][2 * h + i] = merge(weights, out[n][2 * h + i], later.out[n][2 * h + i]);
  }
};

/// The masked scores of this warp's 16 keys, times log2(e), and their maxima.
///   visible  as in attend_tile
template <int kDim, bool kScaled>
__device__ __forceinline__ void score_sixteen_keys(const __nv_bfloat16* queries,
                                                   const AttentionTile& tile,
                                                   const int (&visible)[2], float scale_log2,
                                                   float (&scores)[2][4], float (&largest)[2]) {
  constexpr int kStride = kAttentionStride<kDim>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first = static_cast<int>(threadIdx.x) / 32 * 16;
  const __nv_bfloat16* const keys = tile.keys + first * kStride;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
#pragma unroll
  for (int k = 0; k < kDim; k += 16) {
    std::uint32_t a[4], b[4];
    load_matrix_x4(a, queries + lane % 16 * kStride + k + lane / 16 * 8);
    load_matrix_x4(b, keys + (lane / 16 * 8 + lane % 8) * kStride + k + lane / 8 % 2 * 8);
    mma_bf16_16x8x16(scores[0], a, {b[0], b[1]});
    mma_bf16_16x8x16(scores[1], a, {b[2], b[3]});
  }
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = first + n * 8 + lane % 4 * 2 + i % 2;
      if constexpr (kScaled) scores[n][i] *= tile.key_scales[key];
      scores[n][i] = key < visible[i / 2] ? scores[n][i] * scale_log2 : -INFINITY;
      largest[i / 2] = fmaxf(largest[i / 2], scores[n][i]);
    }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    // The four lanes of a row.
    largest[h] = fmaxf(largest[h], __shfl_xor_sync(0xFFFFFFFFU, largest[h], 1));
    largest[h] = fmaxf(largest[h], __shfl_xor_sync(0xFFFFFFFFU, largest[h], 2));
  }
}

/// Writes the probabilities of this warp's 16 keys, and the sums of a lane's pairs.
template <int kDim, bool kScaled>
__device__ __forceinline__ void share_probabilities(const float (&scores)[2][4],
                                                    const float (&base)[2],
                                                    const AttentionTile& tile,
                                                    const int (&visible)[2],
                                                    AttentionExchange<kDim>& exchange) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int n = 0; n < 2; ++n)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int key = warp * 16 + n * 8 + lane % 4 * 2;
      float p0 = exp2_approx(scores[n][2 * h] - base[h]);
      float p1 = exp2_approx(scores[n][2 * h + 1] - base[h]);
      exchange.sums[warp * 2 + n][h][lane] = p0 + p1;
      if constexpr (kScaled) {
        // The scale of a value that a row does not see may be NaN.
        p0 = key < visible[h] ? p0 * tile.value_scales[key] : 0.0F;
        p1 = key + 1 < visible[h] ? p1 * tile.value_scales[key + 1] : 0.0F;
      }
      *reinterpret_cast<__nv_bfloat162*>(
          exchange.probabilities + (lane / 4 + 8 * h) * AttentionExchange<kDim>::kStride + key) =
          __floats2bfloat162_rn(p0, p1);
    }
}

/// Scores of the rows and a tile of keys, then softmax and values, into `state`. All threads of the
/// block call it, and again only behind a barrier.
template <int kDim, bool kScaled>
__device__ __forceinline__ void attend_tile_together(const __nv_bfloat16* queries,
                                                     const AttentionTile& tile,
                                                     const int (&visible)[2], float scale_log2,
                                                     AttentionExchange<kDim>& exchange,
                                                     FewRowsState<kDim>& state) {
  using Exchange = AttentionExchange<kDim>;
  constexpr int kStride = kAttentionStride<kDim>, kPieces = FewRowsState<kDim>::kPieces;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const bool has_keys = warp < Exchange::kOwners;  // the same for all lanes of a warp
  float scores[2][4];
  if (has_keys) {
    float largest[2] = {-INFINITY, -INFINITY};
    score_sixteen_keys<kDim, kScaled>(queries, tile, visible, scale_log2, scores, largest);
#pragma unroll
    for (int h = 0; h < 2; ++h)
      if (lane % 4 == 0) exchange.largest[warp][lane / 4 + 8 * h] = largest[h];
  }
  __syncthreads();
  float base[2], shrink[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float largest = state.largest[h];
#pragma unroll
    for (int owner = 0; owner < Exchange::kOwners; ++owner)
      largest = fmaxf(largest, exchange.largest[owner][lane / 4 + 8 * h]);
    base[h] = largest == -INFINITY ? 0.0F : largest;  // nothing seen: 2^(-inf - 0) is 0
    shrink[h] = exp2_approx(state.largest[h] - base[h]);
    state.largest[h] = largest;
  }
  if (has_keys) share_probabilities<kDim, kScaled>(scores, base, tile, visible, exchange);
  __syncthreads();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    float sum = 0;
#pragma unroll
    for (int n = 0; n < Exchange::kTile / 8; ++n) sum += exchange.sums[n][h][lane];
    sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 1);
    sum += __shfl_xor_sync(0xFFFFFFFFU, sum, 2);
    state.sum[h] = __fmaf_rn(state.sum[h], shrink[h], sum);
  }
#pragma unroll
  for (int n = 0; n < kPieces; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) state.out[n][i] *= shrink[i / 2];
  const __nv_bfloat16* const values = tile.values + warp * (kDim / 4) + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < Exchange::kTile; k += 16) {
    std::uint32_t a[4];
    load_matrix_x4(a, exchange.probabilities + lane % 16 * Exchange::kStride + k + lane / 16 * 8);
#pragma unroll
    for (int n = 0; n < kPieces; n += 2) {
      std::uint32_t b[4];
      load_matrix_x4_transposed(b, values + (k + lane % 16) * kStride + n * 8);
      mma_bf16_16x8x16(state.out[n], a, {b[0], b[1]});
      mma_bf16_16x8x16(state.out[n + 1], a, {b[2], b[3]});
    }
  }
}

/// store(row, channel, h, value) for each of this lane's outputs.
template <int kDim, class Store>
__device__ __forceinline__ void for_each_output(const AttentionWork& work,
                                                const FewRowsState<kDim>& state,
                                                const Store& store) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = lane / 4 + 8 * h;
    if (row >= work.rows) continue;
#pragma unroll
    for (int n = 0; n < FewRowsState<kDim>::kPieces; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int channel = warp * (kDim / 4) + n * 8 + lane % 4 * 2 + i;
        if (channel < work.head_dim) store(row, channel, h, state.out[n][2 * h + i]);
      }
  }
}

/// Shared memory: queries, the exchange, the stages.
template <int kDim>
constexpr std::size_t kFewQueriesBytes = std::size_t{kFewRows} * kAttentionStride<kDim> *
                                         sizeof(__nv_bfloat16);
template <int kDim, class From>
constexpr std::size_t kFewRowsSharedBytes =
    kFewQueriesBytes<kDim> + sizeof(AttentionExchange<kDim>) + AttentionStages<kDim, From>::kBytes;

/// All keys of [first_key, end_key) against rows that see them all; splits merge in order.
///   query, key_value  as in attend
/// All threads of the block call it.
template <int kDim, class Query, class KeyValue>
__device__ __forceinline__ void attend_few_rows(const AttentionWork& work, const Query& query,
                                                const KeyValue& key_value,
                                                FewRowsState<kDim>& total) {
  constexpr int kStride = kAttentionStride<kDim>, kChunks = kDim / 8;
  static_assert(sizeof(AttentionExchange<kDim>) % 16 == 0);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  auto* const shared = dynamic_shared<unsigned char>();
  auto* const queries = reinterpret_cast<__nv_bfloat16*>(shared);
  auto& exchange = *reinterpret_cast<AttentionExchange<kDim>*>(shared + kFewQueriesBytes<kDim>);
  using Stages = AttentionStages<kDim, decltype(key_value(0))>;
  const Stages stages{reinterpret_cast<__nv_bfloat16*>(&exchange + 1)};

  total.reset();
#pragma unroll
  for (int round = 0; round < kFewRows * kChunks / kAttentionThreads; ++round) {
    const int i = round * kAttentionThreads + thread;
    const int row = i / kChunks, channel = i % kChunks * 8;
    const bool valid = row < work.rows;
    copy_channels(queries + row * kStride + channel, query(valid ? row : 0), channel, valid, work);
  }
  stages.load(work, key_value, work.first_key, 0);
  copy_async_commit();
  int seen[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) seen[h] = lane / 4 + 8 * h < work.rows ? work.end_key : 0;

  FewRowsState<kDim> partial;
  partial.reset();
  int stage = 0;
  for (int key = work.first_key; key < work.end_key; key += kAttentionTile<kDim>, stage ^= 1) {
    const int next = key + kAttentionTile<kDim>;
    if (next < work.end_key) stages.load(work, key_value, next, stage ^ 1);
    copy_async_commit();  // empty after the last tile, so that the wait below always leaves one
    copy_async_wait<1>();
    const AttentionTile tile = stages.ready(stage);
    __syncthreads();
    const int visible[2] = {seen[0] - key, seen[1] - key};
    attend_tile_together<kDim, Stages::kScaled>(queries, tile, visible, work.scale_log2, exchange,
                                                partial);
    if (next % kAttentionSplit == 0 || next >= work.end_key) {
#pragma unroll
      for (int h = 0; h < 2; ++h)
        if (seen[h] > 0) total.add(partial, h);
      partial.reset();
    }
    __syncthreads();  // the stage and the exchange are written again in the next round
  }
}

}  // namespace retinue::cuda
