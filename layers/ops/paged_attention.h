#pragma once

#include "layers/ops/kv_view.h"
#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>

namespace retinue::ops {

/// Causal attention of this step's tokens over their sequences' pages, grouped-query: query head g
/// reads KV head g / (heads / kv_heads).  Kwon et al. 2023, arXiv:2309.06180; Ainslie et al. 2023,
/// arXiv:2305.13245.
///   q            [tokens, heads_per_rank, head_dim]   f32 | bf16   rows may be strided
///   block_table  [seqs, max_blocks] i32               pages of each sequence in order
///   cu_seqlens   [seqs + 1]         i32               which rows of q belong to which sequence
///   seq_lens     [seqs]             i32               tokens in the cache, this step's included
///   y            [tokens, heads_per_rank · head_dim]  dtype of q
/// Numerics: f32 scores, maximum and sums; probabilities rounded to the dtype before they multiply
/// v;
///           keys in tiles (128 on CPU, 64 on CUDA, 32 there above 128 channels) and splits of 512
///           from position 0, so that prefill, chunked prefill and decode give one row the same
///           bits.
/// Order:    enqueued on ctx.stream(); never blocks; may be captured.   Throws: BugError on shape
/// or dtype.
void paged_attention(Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y);

namespace detail {
/// Keys after which CUDA starts a new result, to be merged with the others in order.
inline constexpr int kAttentionSplit = 512;
/// Splits of so many keys that a sequence with one query row is cut into, each with a block of its
/// own, on CUDA. 0: there are enough rows to fill a GPU, a block walks over all of a sequence's
/// splits. The bits are the same.
std::int64_t paged_attention_splits(std::int64_t seqs, std::int64_t heads, std::int64_t max_keys);
/// For partial results of splits; 0 on CPU. Never falls as an argument rises, since a plan asks for
/// the largest.
///   max_keys  what a row of the block table has room for
std::size_t paged_attention_scratch_bytes(Device device, std::int64_t tokens, std::int64_t seqs,
                                          std::int64_t heads, std::int64_t head_dim,
                                          std::int64_t max_keys);
void paged_attention(Cpu, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y, std::byte* scratch);
void paged_attention(Cuda, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y, std::byte* scratch);
}  // namespace detail
}  // namespace retinue::ops
