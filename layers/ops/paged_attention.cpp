#include "layers/ops/paged_attention.h"

#include "layers/ops/dispatch.h"

#include <algorithm>

namespace retinue::ops {

namespace detail {

namespace {

/// From this many rows on (sequences times query heads), a thread block per KV head of a sequence
/// fills a GPU.
constexpr std::int64_t kSplitRows = 2048;

constexpr std::int64_t splits_of(std::int64_t keys) {
  return (keys + kAttentionSplit - 1) / kAttentionSplit;
}

}  // namespace

std::int64_t paged_attention_splits(std::int64_t seqs, std::int64_t heads, std::int64_t max_keys) {
  return seqs * heads <= kSplitRows && splits_of(max_keys) > 1 ? splits_of(max_keys) : 0;
}

std::size_t paged_attention_scratch_bytes(Device device, std::int64_t tokens, std::int64_t seqs,
                                          std::int64_t heads, std::int64_t head_dim,
                                          std::int64_t max_keys) {
  if (device.type == DeviceType::kCpu || tokens == 0 || splits_of(max_keys) <= 1) return 0;
  // One output, its largest score and its sum per row and split.
  const std::int64_t rows = std::min(seqs * heads, kSplitRows);
  return static_cast<std::size_t>(rows * splits_of(max_keys) * (head_dim + 2)) * sizeof(float);
}

}  // namespace detail

void paged_attention(Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y) {
  check(q.shape().rank() == 3 && q.dim(2) == cache.head_dim,
        "paged_attention: q is [tokens, heads, head_dim]");
  check(cache.has_its_shape(),
        "paged_attention: the cache is [blocks, kv_heads_per_rank, head_numel]");
  check(q.dim(1) % cache.kv_heads_per_rank == 0, "paged_attention: KV heads divide heads");
  check(cache.keeps(q.dtype()) && q.dtype() == y.dtype(), "paged_attention: one dtype");
  check(y.shape() == Shape({q.dim(0), q.dim(1) * q.dim(2)}),
        "paged_attention: y is [tokens, heads · head_dim]");
  check(128 % cache.block_size == 0 && cache.block_size % 16 == 0 && cache.head_dim % 16 == 0 &&
            cache.head_dim <= 256,
        "paged_attention: pages of 16, 32, 64 or 128 tokens, head_dim 16 to 256 in sixteens");
  const std::int64_t seqs = seq_lens.numel();
  check(block_table.shape().rank() == 2 && block_table.dim(0) == seqs &&
            cu_seqlens.numel() == seqs + 1,
        "paged_attention: tables agree on the number of sequences");
  check(block_table.dtype() == DType::kI32 && cu_seqlens.dtype() == DType::kI32 &&
            seq_lens.dtype() == DType::kI32,
        "paged_attention: tables are i32");
  std::byte* scratch = ctx.scratch(detail::paged_attention_scratch_bytes(
      ctx.device(), q.dim(0), seqs, q.dim(1), q.dim(2), block_table.dim(1) * cache.block_size));
  on_backend(ctx, "paged_attention", [&](auto backend) {
    detail::paged_attention(backend, ctx, q, cache, block_table, cu_seqlens, seq_lens, scale, y,
                            scratch);
  });
}

}  // namespace retinue::ops
