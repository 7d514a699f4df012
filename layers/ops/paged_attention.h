#pragma once

#include "layers/ops/kv_view.h"
#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>

namespace retinue::ops {

class MatmulInput;

/// Causal attention of this step's tokens over the KV blocks of their sequences, grouped-query:
/// query head g reads KV head g / (heads / kv_heads).
/// Kwon et al. 2023, arXiv:2309.06180; Ainslie et al. 2023, arXiv:2305.13245.
///   q            [tokens, heads_per_rank, head_dim]   f32 | bf16   rows may be strided
///   cache        of the dtype of q, or f8_e4m3 (kv_view.h)
///   block_table  [seqs, max_blocks]                   i32          KV blocks of each sequence
///   cu_seqlens   [seqs + 1]                           i32          prefix sums of the rows of q;
///                                                                  each sequence has one at least
///   seq_lens     [seqs]                               i32          cached tokens, with this step's
///   y            [tokens, heads_per_rank · head_dim]  dtype of q
/// Numerics: scores, maximum and sums in f32; probabilities are rounded to the dtype before they
///           multiply v; keys in tiles (128 on CPU, 64 on CUDA, 32 there above 128 channels) and
///           splits of 512 from position 0, so that prefill, chunked prefill and decode give a row
///           the same bits.
void paged_attention(Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y);
/// For the product that reads y (matmul_input.h). Quantised in this pass where head_dim is 128, a
/// group of the product's inputs, and in another pass elsewhere.
void paged_attention(Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, const MatmulInput& y);

namespace detail {
/// Keys after which CUDA starts a new result, to be merged with the others in order.
inline constexpr int kAttentionSplit = 512;
/// On CUDA: into how many splits a sequence with one query row is cut, each with a thread block of
/// its own, so that long and short sequences keep all of a GPU busy. 0: there are so many rows that
/// one thread block walks over all splits of a sequence. The bits are the same.
std::int64_t paged_attention_splits(std::int64_t seqs, std::int64_t heads, std::int64_t max_keys);
/// For the partial results of splits; 0 on CPU. Monotonic in every argument, because a plan asks
/// for the largest ones.
///   max_keys  keys that a row of the block table has room for
std::size_t paged_attention_scratch_bytes(Device device, std::int64_t tokens, std::int64_t seqs,
                                          std::int64_t heads, std::int64_t head_dim,
                                          std::int64_t max_keys);
void paged_attention(Cpu, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y, std::byte* scratch);
void paged_attention(Cuda, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y, std::byte* scratch);
///   q, y  with head_dim 128
void paged_attention(Cuda, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, const MatmulInput& y,
                     std::byte* scratch);
}  // namespace detail
}  // namespace retinue::ops
