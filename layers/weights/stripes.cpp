#include "layers/weights/stripes.h"

#include <algorithm>
#include <utility>

namespace retinue::layers {
namespace {

/// The wanted rows of tensor `t`, as rising intervals that do not touch.
std::vector<std::pair<std::int64_t, std::int64_t>> wanted_rows(std::span<const Wanted> wanted,
                                                               std::size_t t) {
  std::vector<std::pair<std::int64_t, std::int64_t>> all, joined;
  for (const Wanted& one : wanted)
    for (const WeightSlice& slice : one[t])
      if (slice.rows > 0 && slice.columns > 0)
        all.emplace_back(slice.first_row, slice.first_row + slice.rows);
  std::ranges::sort(all);
  for (const auto& [begin, end] : all) {
    if (joined.empty() || begin > joined.back().second)
      joined.emplace_back(begin, end);
    else
      joined.back().second = std::max(joined.back().second, end);
  }
  return joined;
}

}  // namespace

std::vector<Stripe> cut_stripes(std::span<const StoredMatrix> tensors,
                                std::span<const Wanted> wanted, std::int64_t stripe_bytes) {
  std::vector<Stripe> stripes;
  Stripe open;
  const auto close = [&] {
    if (!open.segments.empty()) stripes.push_back(std::exchange(open, {}));
  };
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const std::int64_t row_bytes = tensors[t].row_bytes();
    for (auto [row, end] : wanted_rows(wanted, t))
      while (row < end) {
        const std::int64_t fit = (stripe_bytes - open.bytes) / row_bytes;
        if (fit <= 0 && !open.segments.empty()) {
          close();
          continue;
        }
        const std::int64_t rows = std::min(end - row, std::max<std::int64_t>(fit, 1));
        open.segments.push_back({static_cast<std::int64_t>(t), row, rows});
        open.bytes += rows * row_bytes;
        row += rows;
      }
  }
  close();
  return stripes;
}

void for_each_part(std::span<const StoredMatrix> tensors, const Stripe& stripe,
                   const Wanted& wanted, const std::function<void(const StripePart&)>& part) {
  std::int64_t at = 0;
  for (const Segment& segment : stripe.segments) {
    const StoredMatrix& tensor = tensors[static_cast<std::size_t>(segment.tensor)];
    for (const WeightSlice& slice : wanted[static_cast<std::size_t>(segment.tensor)]) {
      const std::int64_t first = std::max(segment.first_row, slice.first_row);
      const std::int64_t end =
          std::min(segment.first_row + segment.rows, slice.first_row + slice.rows);
      if (first >= end || slice.columns == 0) continue;
      part({.tensor = segment.tensor,
            .slice = slice,
            .first_row = first,
            .rows = end - first,
            .at_byte = at + (first - segment.first_row) * tensor.row_bytes() +
                       slice.first_column * tensor.element_bytes,
            .stride_bytes = tensor.row_bytes()});
    }
    at += segment.rows * tensor.row_bytes();
  }
}

std::int64_t chunk_bytes(std::span<const StoredMatrix> tensors, const Stripe& stripe,
                         const Wanted& wanted) {
  std::int64_t bytes = 0;
  for_each_part(tensors, stripe, wanted, [&](const StripePart& part) {
    bytes += part.rows * part.slice.columns *
             tensors[static_cast<std::size_t>(part.tensor)].element_bytes;
  });
  return bytes;
}

}  // namespace retinue::layers
