#include "layers/ops/paged_attention.h"

#include "layers/ops/dispatch.h"
#include "layers/ops/fp8_matmul.h"
#include "layers/ops/matmul_input.h"

#include <algorithm>

namespace retinue::ops {

namespace detail {

namespace {

/// Partial results that splits may have: 68 MB of 128 channels.
constexpr std::int64_t kMostPartials = 131072;
/// Rows (sequences times query heads) that are split whatever their keys: fewer leave a GPU empty.
constexpr std::int64_t kSplitRows = 2048;

constexpr std::int64_t splits_of(std::int64_t keys) {
  return (keys + kAttentionSplit - 1) / kAttentionSplit;
}

}  // namespace

std::int64_t paged_attention_splits(std::int64_t seqs, std::int64_t heads, std::int64_t max_keys) {
  const std::int64_t rows = seqs * heads, splits = splits_of(max_keys);
  return splits > 1 && (rows <= kSplitRows || rows * splits <= kMostPartials) ? splits : 0;
}

std::size_t paged_attention_scratch_bytes(Device device, std::int64_t tokens, std::int64_t seqs,
                                          std::int64_t heads, std::int64_t head_dim,
                                          std::int64_t max_keys) {
  if (device.type == DeviceType::kCpu || tokens == 0 || splits_of(max_keys) <= 1) return 0;
  // One output, its largest score and its sum per row and split.
  const std::int64_t rows = seqs * heads, splits = splits_of(max_keys);
  const std::int64_t partials =
      std::max(std::min(rows, kSplitRows) * splits, std::min(rows * splits, kMostPartials));
  return static_cast<std::size_t>(partials * (head_dim + 2)) * sizeof(float);
}

}  // namespace detail

namespace {

///   rows, width  of y
void check_operands(ConstTensorView q, const KvView& cache, ConstTensorView block_table,
                    ConstTensorView cu_seqlens, ConstTensorView seq_lens, const Shape& y) {
  check(q.shape().rank() == 3 && q.dim(2) == cache.head_dim,
        "paged_attention: q is [tokens, heads, head_dim]");
  check(cache.has_its_shape(),
        "paged_attention: the cache is [blocks, kv_heads_per_rank, head_numel]");
  check(q.dim(1) % cache.kv_heads_per_rank == 0, "paged_attention: KV heads divide heads");
  check(y == Shape({q.dim(0), q.dim(1) * q.dim(2)}),
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
}

std::size_t bytes_of_splits(const Context& ctx, ConstTensorView q, const KvView& cache,
                            ConstTensorView block_table) {
  return detail::paged_attention_scratch_bytes(ctx.device(), q.dim(0), block_table.dim(0), q.dim(1),
                                               q.dim(2), block_table.dim(1) * cache.block_size);
}

}  // namespace

void paged_attention(Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y) {
  check_operands(q, cache, block_table, cu_seqlens, seq_lens, y.shape());
  check(cache.keeps(q.dtype()) && q.dtype() == y.dtype(), "paged_attention: one dtype");
  std::byte* scratch = ctx.scratch(bytes_of_splits(ctx, q, cache, block_table));
  on_backend(ctx, "paged_attention", [&](auto backend) {
    detail::paged_attention(backend, ctx, q, cache, block_table, cu_seqlens, seq_lens, scale, y,
                            scratch);
  });
}

void paged_attention(Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, const MatmulInput& y) {
  if (!y.is_quantized())
    return paged_attention(ctx, q, cache, block_table, cu_seqlens, seq_lens, scale, y.tensor());
  const Shape rows{y.rows(), y.inputs()};
  check_operands(q, cache, block_table, cu_seqlens, seq_lens, rows);
  check(cache.keeps(q.dtype()) && q.dtype() == y.dtype(), "paged_attention: one dtype");
  const bool in_this_pass = q.dim(2) == kFp8Group;
  const std::size_t splits = (bytes_of_splits(ctx, q, cache, block_table) + 255) / 256 * 256;
  const auto row_bytes = static_cast<std::size_t>(rows.numel()) * size_bytes(q.dtype());
  std::byte* scratch = ctx.scratch(splits + (in_this_pass ? 0 : row_bytes));
  on_cuda(ctx, "paged_attention", [&](auto cuda) {
    const auto attend = [&](const auto& to) {
      detail::paged_attention(cuda, ctx, q, cache, block_table, cu_seqlens, seq_lens, scale, to,
                              scratch);
    };
    if (in_this_pass) return attend(y);
    const TensorView attended(scratch + splits, q.dtype(), rows);
    attend(attended);
    detail::quantize(cuda, ctx, attended, y);
  });
}

}  // namespace retinue::ops
