#pragma once

#include "layers/weights/weight_source.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// How the bytes of a checkpoint are dealt to ranks that read it together, and who gets what of
/// them. Pure functions of what all of these ranks know, so that each computes the same.
namespace retinue::layers {

/// A stored tensor as a matrix of rows.
struct StoredMatrix {
  std::int64_t rows = 0, columns = 0;
  std::int64_t element_bytes = 2;
  [[nodiscard]] std::int64_t row_bytes() const { return columns * element_bytes; }
};

/// Slices of each tensor that a rank wants, none twice. By tensor, in the order of the files.
using Wanted = std::vector<std::vector<WeightSlice>>;

/// Whole rows of one tensor, read at once.
struct Segment {
  std::int64_t tensor = 0;
  std::int64_t first_row = 0, rows = 0;
};
/// What one rank reads at once.
struct Stripe {
  std::vector<Segment> segments;
  std::int64_t bytes = 0;
};

/// Every row that somebody wants, once, in the order of the files, in stripes of at most
/// `stripe_bytes`, but for rows that are longer. Stripe i is read by rank i modulo their number.
std::vector<Stripe> cut_stripes(std::span<const StoredMatrix> tensors,
                                std::span<const Wanted> wanted, std::int64_t stripe_bytes);

/// A piece of a stripe that is wanted: rows of a slice, its columns.
struct StripePart {
  std::int64_t tensor = 0;
  WeightSlice slice;           ///< the whole of it
  std::int64_t first_row = 0;  ///< of the tensor
  std::int64_t rows = 0;
  std::int64_t at_byte = 0;       ///< in the stripe, of the first row's first wanted column
  std::int64_t stride_bytes = 0;  ///< in the stripe, from row to row
};
/// In a fixed order, which is that of a parcel: what travels to a rank, its parts one after the
/// other, their rows close together.
void for_each_part(std::span<const StoredMatrix> tensors, const Stripe& stripe,
                   const Wanted& wanted, const std::function<void(const StripePart&)>& part);
std::int64_t chunk_bytes(std::span<const StoredMatrix> tensors, const Stripe& stripe,
                         const Wanted& wanted);

}  // namespace retinue::layers
