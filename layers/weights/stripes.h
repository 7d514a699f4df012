#pragma once

#include "layers/weights/weight_source.h"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// How ranks that read a checkpoint together divide its bytes, and which rank gets which of them.
/// Pure functions of facts that all of these ranks know, so that each computes the same.
namespace retinue::layers {

/// A stored tensor as a matrix of rows.
struct StoredMatrix {
  std::int64_t rows = 0, columns = 0;
  std::int64_t element_bytes = 2;
  [[nodiscard]] std::int64_t row_bytes() const { return columns * element_bytes; }
};

/// The slices that a rank wants, none twice: a list per tensor, tensors in the order of the files.
using Wanted = std::vector<std::vector<WeightSlice>>;

/// Whole rows of one tensor, read at once.
struct Segment {
  std::int64_t tensor = 0;
  std::int64_t first_row = 0, rows = 0;
};
/// Segments that one rank reads at once.
struct Stripe {
  std::vector<Segment> segments;
  std::int64_t bytes = 0;
};

/// Cuts the wanted rows, each once, in the order of the files, into stripes of at most
/// `stripe_bytes`; a longer row is a stripe of its own. Rank i modulo the number of ranks reads
/// stripe i.
std::vector<Stripe> cut_stripes(std::span<const StoredMatrix> tensors,
                                std::span<const Wanted> wanted, std::int64_t stripe_bytes);

/// A wanted piece of a stripe: some rows of a slice.
struct StripePart {
  std::int64_t tensor = 0;
  WeightSlice slice;           ///< the whole slice
  std::int64_t first_row = 0;  ///< of the tensor
  std::int64_t rows = 0;
  std::int64_t at_byte = 0;       ///< in the stripe, of the first row's first wanted column
  std::int64_t stride_bytes = 0;  ///< in the stripe, from row to row
};
/// Calls `part` for each part that `wanted` has of the stripe, in the order in which a chunk holds
/// them. A chunk is the message to one rank: its parts one after the other, without gaps.
void for_each_part(std::span<const StoredMatrix> tensors, const Stripe& stripe,
                   const Wanted& wanted, const std::function<void(const StripePart&)>& part);
/// Bytes of that chunk.
std::int64_t chunk_bytes(std::span<const StoredMatrix> tensors, const Stripe& stripe,
                         const Wanted& wanted);

}  // namespace retinue::layers
