#pragma once

// Tested through tests/layers/ops/attention_test.cpp.

#include "layers/kernels/cuda/ptx.cuh"
#include "layers/ops/paged_attention.h"

#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>

/// Attention of a warp's 16 rows over one tile of keys, and how results are merged. Needs nvcc.
namespace retinue::cuda {

using ops::detail::kAttentionSplit;

constexpr int kAttentionThreads = 128;  ///< four warps of 16 rows
constexpr int kAttentionRows = 64;
/// Keys per tile. At 128 channels two results take half of the registers.
template <int kDim>
constexpr int kAttentionTile = kDim > 128 ? 32 : 64;

/// A row takes 16 bytes more in shared memory than its channels: eight rows of a matrix then lie in
/// different banks.
template <int kDim>
constexpr int kAttentionStride = kDim + 8;
/// The factors of two results in their merger.
struct MergeWeights {
  float largest, keep, add;
};
__device__ __forceinline__ MergeWeights merge_weights(float total_largest, float partial_largest) {
  const float largest = fmaxf(total_largest, partial_largest);
  const float base = largest == -INFINITY ? 0.0F : largest;
  return {largest, exp2_approx(total_largest - base), exp2_approx(partial_largest - base)};
}
/// Merges sums and outputs alike.
__device__ __forceinline__ float merge(const MergeWeights& weights, float total, float partial) {
  return __fmaf_rn(partial, weights.add, total * weights.keep);
}

/// A lane's part of its warp's 16 rows, in the layout of an mma's result: [h] is for row
/// lane / 4 + 8 h.
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

/// Keys and values of a tile, in shared memory. Those of e4m3 have scales.
struct AttentionTile {
  const __nv_bfloat16 *keys, *values;
  const float *key_scales = nullptr, *value_scales = nullptr;
};

/// Scores of a warp's 16 rows, in the layout of an mma's result for each eight keys.
template <int kDim>
using AttentionScores = float[kAttentionTile<kDim> / 8][4];

/// scores = queries · keys
template <int kDim>
__device__ __forceinline__ void multiply_keys(const __nv_bfloat16* queries,
                                              const __nv_bfloat16* keys,
                                              AttentionScores<kDim>& scores) {
  constexpr int kStride = kAttentionStride<kDim>;
  constexpr int kPieces = kAttentionTile<kDim> / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
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
}

/// out = out · shrink + probabilities · values; [][h] are a row's pairs of probabilities.
template <int kDim>
__device__ __forceinline__ void add_values(
    const __nv_bfloat16* values, const std::uint32_t (&probabilities)[kAttentionTile<kDim> / 8][2],
    const float (&shrink)[2], AttentionState<kDim>& state) {
  constexpr int kStride = kAttentionStride<kDim>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // Once the largest scores are found, there is nothing to multiply.
  if (__any_sync(0xFFFFFFFFU, shrink[0] != 1.0F || shrink[1] != 1.0F)) {
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) state.out[n][i] *= shrink[i / 2];
  }
#pragma unroll
  for (int k = 0; k < kAttentionTile<kDim> / 8; k += 2) {
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

/// Scores of a warp's 16 rows and a tile of keys, then softmax and values, into `state`.
///   queries  this warp's 16 rows
///   visible  keys that this lane's two rows see, counted from this tile's first
/// kScaled: scores are multiplied by the keys' scales before the softmax's, and probabilities by
/// the values' before they are rounded. Sums are of the probabilities themselves.
template <int kDim, bool kScaled>
__device__ __forceinline__ void attend_tile(const __nv_bfloat16* queries, const AttentionTile& tile,
                                            const int (&visible)[2], float scale_log2,
                                            AttentionState<kDim>& state) {
  constexpr int kPieces = kAttentionTile<kDim> / 8;
  const int first_key = static_cast<int>(threadIdx.x) % 4 * 2;  // of this lane, in each eight
  AttentionScores<kDim> scores;
  multiply_keys<kDim>(queries, tile.keys, scores);

  float largest[2] = {-INFINITY, -INFINITY};
  const auto scale = [&]<bool kMasks>() {
#pragma unroll
    for (int n = 0; n < kPieces; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int key = n * 8 + first_key + i % 2;
        if constexpr (kScaled) scores[n][i] *= tile.key_scales[key];
        scores[n][i] *= scale_log2;
        if constexpr (kMasks) scores[n][i] = key < visible[i / 2] ? scores[n][i] : -INFINITY;
        largest[i / 2] = fmaxf(largest[i / 2], scores[n][i]);
      }
  };
  // Most tiles lie before the last key that any row sees.
  if (__all_sync(0xFFFFFFFFU, min(visible[0], visible[1]) >= kPieces * 8))
    scale.template operator()<false>();
  else
    scale.template operator()<true>();
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
      float p0 = exp2_approx(scores[n][2 * h] - base[h]);
      float p1 = exp2_approx(scores[n][2 * h + 1] - base[h]);
      sum[h] += p0 + p1;
      if constexpr (kScaled) {
        // The scale of a value that a row does not see may be NaN.
        const int key = n * 8 + first_key;
        p0 = key < visible[h] ? p0 * tile.value_scales[key] : 0.0F;
        p1 = key + 1 < visible[h] ? p1 * tile.value_scales[key + 1] : 0.0F;
      }
      const __nv_bfloat162 pair = __floats2bfloat162_rn(p0, p1);
      memcpy(&probabilities[n][h], &pair, sizeof pair);
    }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    sum[h] += __shfl_xor_sync(0xFFFFFFFFU, sum[h], 1);
    sum[h] += __shfl_xor_sync(0xFFFFFFFFU, sum[h], 2);
    state.sum[h] = __fmaf_rn(state.sum[h], shrink[h], sum[h]);
  }
  add_values<kDim>(tile.values, probabilities, shrink, state);
}

}  // namespace retinue::cuda
