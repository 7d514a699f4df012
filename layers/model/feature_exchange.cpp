#include "layers/model/feature_exchange.h"

#include "layers/ops/cast.h"

#include <vector>

namespace retinue::layers {

void exchange_features(Context& ctx, const TensorAxis& axis, std::span<const ExchangedImage> images,
                       ConstTensorView mine, TensorView features) {
  std::vector<std::int64_t> rows_of(static_cast<std::size_t>(axis.size));
  std::int64_t total = 0;
  for (const ExchangedImage& image : images) {
    rows_of[static_cast<std::size_t>(image.owner)] += image.visual_tokens;
    total += image.visual_tokens;
  }
  check(mine.dim(0) == rows_of[static_cast<std::size_t>(axis.rank)],
        "a rank brings the rows of its own images");
  if (total == 0) return;

  Frame frame(ctx);
  ConstTensorView gathered = mine;
  if (axis.size > 1) {
    TensorView all = ctx.alloc({total, mine.dim(1)}, features.dtype());
    Communicator* comm = axis.exchange != nullptr ? axis.exchange : axis.comm;
    if (!ctx.planning()) comm->all_gather(ctx.stream(), mine, all, rows_of);
    gathered = all;
  }
  // Gathered rows are ordered by rank, and within a rank by image.
  std::vector<std::int64_t> next(rows_of.size());
  for (std::size_t r = 1; r < next.size(); ++r) next[r] = next[r - 1] + rows_of[r - 1];
  for (const ExchangedImage& image : images) {
    std::int64_t& from = next[static_cast<std::size_t>(image.owner)];
    ops::cast(ctx, gathered.rows(from, image.visual_tokens),
              features.rows(image.first_row, image.visual_tokens));
    from += image.visual_tokens;
  }
}

}  // namespace retinue::layers
