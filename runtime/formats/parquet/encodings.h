#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime::detail {

// Parquet's encodings of whole numbers.   parquet-format: Encodings.md
// Each function removes its bytes from the front of `in`. It returns false where the bytes end
// early or are invalid.

/// Fills `out` from a mix of runs and bit-packed groups, numbers of `bit_width` (0 to 32).
bool read_hybrid(std::span<const std::byte>& in, int bit_width, std::span<std::uint32_t> out);

/// Delta binary packed: blocks of differences. Sums wrap around at 64 bits; 32-bit columns use the
/// low half.
///   most  the most values that are accepted
bool read_deltas(std::span<const std::byte>& in, std::size_t most, std::vector<std::int64_t>& out);

}  // namespace retinue::runtime::detail
