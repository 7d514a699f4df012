#include "runtime/engine/draw.h"

#include <algorithm>
#include <vector>

namespace retinue::runtime {

namespace {

/// Rows that meet at the leader at once: 64 of 151,936 bf16 are 19 MB, and as much again in order.
constexpr std::int64_t kRowsAtOnce = 64;

/// The ranks' parts of some rows, side by side, at rank 0.
///   mine  [rows, vocab_per_rank]
///   all   [rows, vocab]            elsewhere ignored
void gather_vocabulary(Context& ctx, const layers::TensorAxis& axis, std::int64_t vocab,
                       ConstTensorView mine, TensorView all) {
  const std::int64_t rows = mine.dim(0);
  const bool leader = axis.rank == 0;
  // Numbers of elements: the parts of the ranks follow each other, whatever their widths.
  std::vector<std::int64_t> counts;
  for (int rank = 0; rank < axis.size; ++rank)
    counts.push_back(rows * layers::vocab_slice(vocab, rank, axis.size).count);
  Frame frame(ctx);
  const TensorView parts = leader ? ctx.alloc({rows * vocab}, mine.dtype()) : TensorView{};
  if (ctx.planning()) return;
  axis.comm->gather(ctx.stream(), ConstTensorView(mine.bytes(), mine.dtype(), Shape{mine.numel()}),
                    parts, counts, 0);
  if (!leader) return;
  const auto element = size_bytes(mine.dtype());
  const std::size_t row_bytes = static_cast<std::size_t>(vocab) * element;
  const std::byte* from = parts.bytes();
  for (int rank = 0; rank < axis.size; ++rank) {
    const Slice ids = layers::vocab_slice(vocab, rank, axis.size);
    const std::size_t part_bytes = static_cast<std::size_t>(ids.count) * element;
    ctx.stream().copy_rows(all.bytes() + static_cast<std::size_t>(ids.begin) * element, row_bytes,
                           from, part_bytes, part_bytes, static_cast<std::size_t>(rows));
    from += part_bytes * static_cast<std::size_t>(rows);
  }
}

}  // namespace

void draw(Context& ctx, const layers::TensorAxis& axis, std::int64_t vocab, ConstTensorView logits,
          const Drawing& drawing) {
  if (axis.size == 1)
    return ops::sample(ctx, logits, drawing.params, drawing.ids, drawing.logprobs);
  const bool leader = axis.rank == 0;
  for (std::int64_t first = 0; first < logits.dim(0); first += kRowsAtOnce) {
    const std::int64_t count = std::min(kRowsAtOnce, logits.dim(0) - first);
    Frame frame(ctx);
    const TensorView all = leader ? ctx.alloc({count, vocab}, logits.dtype()) : TensorView{};
    gather_vocabulary(ctx, axis, vocab, logits.rows(first, count), all);
    if (leader)
      ops::sample(ctx, all, drawing.params.rows(first, count), drawing.ids.rows(first, count),
                  drawing.logprobs.rows(first, count));
  }
}

}  // namespace retinue::runtime
