#include "layers/kernels/cuda/attention_few_rows.cuh"
#include "layers/kernels/cuda/attention_tile.cuh"
#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_quantize.cuh"
#include "layers/kernels/cuda/kv_e4m3.cuh"
#include "layers/kernels/cuda/launch.h"
#include "layers/ops/paged_attention.h"

#include <bit>
#include <type_traits>

namespace retinue::ops::detail {
namespace {

using namespace retinue::cuda;

/// A KV block of one KV head: its keys [block_size, head_dim], then its values, row-major.
template <class Kept>
struct Operands {
  const __nv_bfloat16* q;
  std::int64_t q_stride;
  Kept* pages;
  std::int64_t kv_block_stride;
  const std::int32_t* block_table;
  std::int64_t table_stride;
  const std::int32_t* cu_seqlens;
  const std::int32_t* seq_lens;
  __nv_bfloat16* y;  ///< null where a product of e4m3 reads the result, of heads of 128 channels
  std::int64_t y_stride;
  Fp8Operand quantized;
  float* partials;  ///< [seqs, heads, splits, head_dim + 2]: output, largest, sum
  int seqs, heads, group, block_size, head_dim;
  int block_shift;  ///< block_size is 2 to its power
  int splits;       ///< the most of a sequence; 0: every thread block merges its own
  float scale_log2;
  bool aligned;

  /// The address of a split's partial result.
  __device__ float* partial(int sequence, int head, int split) const {
    return partials +
           ((static_cast<std::int64_t>(sequence) * heads + head) * splits + split) * (head_dim + 2);
  }
  /// Where the key that `table` names, and its value, lie.
  __device__ __forceinline__ auto key_value(const std::int32_t* table, int kv_head, int key) const {
    const std::int64_t values = static_cast<std::int64_t>(block_size) * head_dim;
    // A division by a number that is not known takes twenty instructions, for each key of each thread.
    const int block = key >> block_shift, place = key & (block_size - 1);
    if constexpr (std::is_same_v<Kept, Float8E4M3>) {
      const E4m3Cache cache{pages, kv_block_stride, block_size, head_dim};
      Float8E4M3* const first = cache.keys(table[block], kv_head);
      const Float8E4M3* const at = first + place * head_dim;
      const float* const scales = cache.scales(first) + place;
      return E4m3KeyAndValue{at, at + values, scales, scales + block_size};
    } else {
      const __nv_bfloat16* const at =
          pages + table[block] * kv_block_stride + 2 * kv_head * values + place * head_dim;
      return KeyAndValue{at, at + values};
    }
  }
};

/// Quantises the rows of this warp, of which each is a head and a group of a product's inputs.
template <class TokenOf, class HeadOf>
__device__ __forceinline__ void quantize_heads(const AttentionWork& work,
                                               const AttentionState<kFp8GroupInputs>& state,
                                               const TokenOf& token_of, const HeadOf& head_of,
                                               const Fp8Operand& to) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  constexpr int kPairs = kFp8GroupInputs / 8;
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    __nv_bfloat16 x[kPairs][2];
    unsigned most = 0;
#pragma unroll
    for (int n = 0; n < kPairs; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        x[n][i] = __float2bfloat16(__fdiv_rn(state.out[n][2 * h + i], state.sum[h]));
        most = max(most, magnitude(x[n][i]));
      }
    // The four lanes of a row.
    most = max(most, __shfl_xor_sync(0xFFFFFFFFU, most, 1));
    most = max(most, __shfl_xor_sync(0xFFFFFFFFU, most, 2));
    const int row = warp * 16 + lane / 4 + 8 * h;
    if (row >= work.rows) continue;
    const Fp8Scale scale = fp8_scale(most);
    const int token = static_cast<int>(token_of(row)), head = head_of(row);
#pragma unroll
    for (int n = 0; n < kPairs; ++n)
      store_fp8_pair(to, token, head * kFp8GroupInputs + n * 8 + lane % 4 * 2,
                     fp8_pair(x[n][0], x[n][1], scale.divisor));
    if (lane % 4 == 0) store_fp8_scale(to, token, head, scale.scale);
  }
}

/// The same for the rows of a thread block, of which each warp has a quarter of the channels.
__device__ __forceinline__ void quantize_heads(const AttentionWork& work,
                                               const FewRowsState<kFp8GroupInputs>& state,
                                               int token, int first_head, const Fp8Operand& to) {
  constexpr int kPairs = FewRowsState<kFp8GroupInputs>::kPieces, kWarps = kAttentionThreads / 32;
  __shared__ unsigned of_warp[kWarps][kFewRows];
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  __nv_bfloat16 x[2][kPairs][2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    unsigned most = 0;
#pragma unroll
    for (int n = 0; n < kPairs; ++n)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        x[h][n][i] = __float2bfloat16(__fdiv_rn(state.out[n][2 * h + i], state.sum[h]));
        most = max(most, magnitude(x[h][n][i]));
      }
    most = max(most, __shfl_xor_sync(0xFFFFFFFFU, most, 1));
    most = max(most, __shfl_xor_sync(0xFFFFFFFFU, most, 2));
    if (lane % 4 == 0) of_warp[warp][lane / 4 + 8 * h] = most;
  }
  __syncthreads();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = lane / 4 + 8 * h;
    if (row >= work.rows) continue;
    unsigned most = 0;
#pragma unroll
    for (int other = 0; other < kWarps; ++other) most = max(most, of_warp[other][row]);
    const Fp8Scale scale = fp8_scale(most);
    const int input = (first_head + row) * kFp8GroupInputs + warp * kPairs * 8 + lane % 4 * 2;
#pragma unroll
    for (int n = 0; n < kPairs; ++n)
      store_fp8_pair(to, token, input + n * 8, fp8_pair(x[h][n][0], x[h][n][1], scale.divisor));
    if (warp == 0 && lane % 4 == 0) store_fp8_scale(to, token, first_head + row, scale.scale);
  }
}

/// For sequences with several tokens. A thread block has one KV head and a tile of rows; a row is a
/// token and one of the heads that share the KV head.
template <int kDim, class Kept>
__global__ void __launch_bounds__(kAttentionThreads)
    paged_attention_kernel(const Operands<Kept> o) {
  const int kv_head = static_cast<int>(blockIdx.y);
  const AttentionTilePlace place = find_attention_tile(
      static_cast<int>(blockIdx.x), o.seqs,
      [&](int s) { return static_cast<std::int64_t>(o.cu_seqlens[s]) * o.group; });
  const int first_token = o.cu_seqlens[place.sequence];
  const int tokens = o.cu_seqlens[place.sequence + 1] - first_token;
  const int rows = tokens * o.group - place.first_row;
  if (rows <= 0 || tokens == 1) return;

  AttentionWork work{min(kAttentionRows, rows), 0, 0, o.head_dim, o.scale_log2, o.aligned};
  const int length = o.seq_lens[place.sequence];
  const auto row_keys = [&](int row) {
    return length - tokens + (place.first_row + row) / o.group + 1;
  };
  work.end_key = row_keys(work.rows - 1);
  const std::int32_t* const table = o.block_table + place.sequence * o.table_stride;
  const auto head_of = [&](int row) {
    return kv_head * o.group + (place.first_row + row) % o.group;
  };
  const auto token_of = [&](int row) {
    return static_cast<std::int64_t>(first_token) + (place.first_row + row) / o.group;
  };
  AttentionState<kDim> result;
  attend<kDim>(
      work, [&](int row) { return o.q + token_of(row) * o.q_stride + head_of(row) * o.head_dim; },
      [&](int key) { return o.key_value(table, kv_head, key); }, row_keys, result);
  if constexpr (kDim == kFp8GroupInputs)
    if (o.y == nullptr) return quantize_heads(work, result, token_of, head_of, o.quantized);
  for_each_output(work, result, [&](int row, int channel, int h, float value) {
    o.y[token_of(row) * o.y_stride + head_of(row) * o.head_dim + channel] =
        __float2bfloat16(__fdiv_rn(value, result.sum[h]));
  });
}

/// For sequences with one token. A thread block has one KV head, up to 16 of the heads that share
/// it, and one split of the sequence's keys; without splits all of its keys.
template <int kDim, class Kept>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    paged_decode_kernel(const Operands<Kept> o) {
  const int kv_head = static_cast<int>(blockIdx.y);
  if constexpr (kDim == kFp8GroupInputs)
    if (o.y == nullptr && blockIdx.x == 0)
      store_fp8_padding(o.quantized, kv_head * o.group, o.group);
  const int splits = max(o.splits, 1), tiles = (o.group + kFewRows - 1) / kFewRows;
  const int split = static_cast<int>(blockIdx.x) % splits;
  const int tile = static_cast<int>(blockIdx.x) / splits;
  const int sequence = tile / tiles, token = o.cu_seqlens[sequence];
  if (o.cu_seqlens[sequence + 1] - token != 1) return;
  const int first_row = tile % tiles * kFewRows, first_head = kv_head * o.group + first_row;
  AttentionWork work{min(kFewRows, o.group - first_row),
                     0,
                     o.seq_lens[sequence],
                     o.head_dim,
                     o.scale_log2,
                     o.aligned};
  if (o.splits > 0) {
    work.first_key = split * kAttentionSplit;
    work.end_key = min(work.end_key, work.first_key + kAttentionSplit);
    if (work.first_key >= work.end_key) return;
  }
  const std::int32_t* const table = o.block_table + sequence * o.table_stride;
  const __nv_bfloat16* const q = o.q + token * o.q_stride + first_head * o.head_dim;
  FewRowsState<kDim> result;
  attend_few_rows<kDim>(
      work, [&](int row) { return q + row * o.head_dim; },
      [&](int key) { return o.key_value(table, kv_head, key); }, result);
  if (o.splits == 0) {
    if constexpr (kDim == kFp8GroupInputs)
      if (o.y == nullptr) return quantize_heads(work, result, token, first_head, o.quantized);
    for_each_output(work, result, [&](int row, int channel, int h, float value) {
      o.y[token * o.y_stride + (first_head + row) * o.head_dim + channel] =
          __float2bfloat16(__fdiv_rn(value, result.sum[h]));
    });
    return;
  }
  for_each_output(work, result, [&](int row, int channel, int h, float value) {
    float* const partial = o.partial(sequence, first_head + row, split);
    partial[channel] = value;
    if (channel == 0) partial[o.head_dim] = result.largest[h];
    if (channel == 0) partial[o.head_dim + 1] = result.sum[h];
  });
}

/// Quantises a head of 128 channels, of which each thread of the block has one.
__device__ __forceinline__ void quantize_channel(const Fp8Operand& to, int token, int head,
                                                 __nv_bfloat16 x) {
  constexpr int kWarps = kFp8GroupInputs / 32;
  __shared__ unsigned of_warp[kWarps];
  const int channel = static_cast<int>(threadIdx.x);
  const unsigned most_of_warp = __reduce_max_sync(0xFFFFFFFFU, magnitude(x));
  if (channel % 32 == 0) of_warp[channel / 32] = most_of_warp;
  __syncthreads();
  unsigned most = 0;
#pragma unroll
  for (const unsigned other : of_warp) most = max(most, other);
  const Fp8Scale scale = fp8_scale(most);
  const __nv_bfloat16 next = __shfl_down_sync(0xFFFFFFFFU, x, 1);
  if (channel % 2 == 0)
    store_fp8_pair(to, token, head * kFp8GroupInputs + channel, fp8_pair(x, next, scale.divisor));
  if (channel == 0) store_fp8_scale(to, token, head, scale.scale);
}

/// A thread block per head and sequence with one token; a thread has a channel.
template <class Kept>
__global__ void merge_splits_kernel(const Operands<Kept> o) {
  const int sequence = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const int channel = static_cast<int>(threadIdx.x);
  const int token = o.cu_seqlens[sequence];
  if (o.cu_seqlens[sequence + 1] - token != 1 || channel >= o.head_dim) return;
  const int splits = (o.seq_lens[sequence] + kAttentionSplit - 1) / kAttentionSplit;
  float out = 0, largest = -INFINITY, sum = 0;
  for (int split = 0; split < splits; ++split) {
    const float* const partial = o.partial(sequence, head, split);
    const MergeWeights weights = merge_weights(largest, partial[o.head_dim]);
    largest = weights.largest;
    sum = merge(weights, sum, partial[o.head_dim + 1]);
    out = merge(weights, out, partial[channel]);
  }
  const __nv_bfloat16 result = __float2bfloat16(__fdiv_rn(out, sum));
  if (o.y == nullptr)
    quantize_channel(o.quantized, token, head, result);
  else
    o.y[token * o.y_stride + head * o.head_dim + channel] = result;
}

template <class Kept>
void launch_all(Context& ctx, const Operands<Kept>& o, std::int64_t tokens, std::int64_t kv_heads) {
  using From = std::conditional_t<std::is_same_v<Kept, Float8E4M3>, E4m3KeyAndValue, KeyAndValue>;
  const std::int64_t decode_blocks =
      o.seqs * ceil_div(o.group, kFewRows) * std::max<std::int64_t>(o.splits, 1);
  const auto run = [&]<int kDim>() {
    launch(ctx, paged_decode_kernel<kDim, Kept>, {decode_blocks, kv_heads}, kAttentionThreads,
           kFewRowsSharedBytes<kDim, From>, o);
    // As many tokens as sequences: all have one.
    if (tokens > o.seqs)
      launch(ctx, paged_attention_kernel<kDim, Kept>,
             {attention_tiles(tokens * o.group, o.seqs), kv_heads}, kAttentionThreads,
             kAttentionSharedBytes<kDim, From>, o);
  };
  if (o.head_dim <= 64)
    run.template operator()<64>();
  else if (o.head_dim <= 128)
    run.template operator()<128>();
  else
    run.template operator()<256>();  // correct, not fast: spills registers
  if (o.splits > 0)
    launch(ctx, merge_splits_kernel<Kept>, Grid{o.seqs, o.heads},
           static_cast<int>(round_up(o.head_dim, 32)), 0, o);
}

/// Where the result goes: as in Operands.
struct Output {
  __nv_bfloat16* y;
  std::int64_t y_stride;
  Fp8Operand quantized;
};

void attend_all(Context& ctx, ConstTensorView q, const KvView& cache, ConstTensorView block_table,
                ConstTensorView cu_seqlens, ConstTensorView seq_lens, float scale,
                const Output& output, std::byte* scratch) {
  check(q.dtype() == DType::kBF16, "paged_attention on CUDA computes bf16");
  const std::int64_t tokens = q.dim(0), heads = q.dim(1), head_dim = q.dim(2);
  const std::int64_t seqs = seq_lens.numel(), kv_heads = cache.kv_heads_per_rank;
  if (tokens == 0 || seqs == 0) return;
  const std::int64_t group = heads / kv_heads;
  const std::int64_t splits =
      paged_attention_splits(seqs, heads, block_table.dim(1) * cache.block_size);
  const auto run = [&](auto* pages, bool aligned) {
    using Kept = std::remove_pointer_t<decltype(pages)>;
    launch_all(ctx,
               Operands<Kept>{reinterpret_cast<const __nv_bfloat16*>(q.data<BFloat16>()),
                              q.row_stride(),
                              pages,
                              cache.data.row_stride(),
                              block_table.data<std::int32_t>(),
                              block_table.row_stride(),
                              cu_seqlens.data<std::int32_t>(),
                              seq_lens.data<std::int32_t>(),
                              output.y,
                              output.y_stride,
                              output.quantized,
                              reinterpret_cast<float*>(scratch),
                              static_cast<int>(seqs),
                              static_cast<int>(heads),
                              static_cast<int>(group),
                              static_cast<int>(cache.block_size),
                              static_cast<int>(head_dim),
                              std::countr_zero(static_cast<unsigned>(cache.block_size)),
                              static_cast<int>(splits),
                              scale * kLog2E,
                              aligned},
               tokens, kv_heads);
  };
  const bool q_aligned = rows_are_vectors(q, head_dim);
  if (cache.is_fp8())
    run(e4m3_cache(cache).blocks, q_aligned);
  else
    run(pointer<__nv_bfloat16>(cache.data), q_aligned && rows_are_vectors(cache.data, head_dim));
}

}  // namespace

void paged_attention(Cuda, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y, std::byte* scratch) {
  attend_all(ctx, q, cache, block_table, cu_seqlens, seq_lens, scale,
             {reinterpret_cast<__nv_bfloat16*>(y.data<BFloat16>()), y.row_stride(), {}}, scratch);
}

void paged_attention(Cuda, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, const MatmulInput& y,
                     std::byte* scratch) {
  check(q.dim(2) == kFp8Group, "paged_attention quantises heads of 128 channels");
  attend_all(ctx, q, cache, block_table, cu_seqlens, seq_lens, scale,
             {nullptr, 0, fp8_operand(ctx, y)}, scratch);
}

}  // namespace retinue::ops::detail
