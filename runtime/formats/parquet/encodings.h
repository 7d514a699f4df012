#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime::detail {

// Parquet's encodings of whole numbers.   parquet-format: Encodings.md
// Each takes its bytes off the front of `in`, appends to nothing and returns false when the bytes
// end early or make no sense.

/// Runs and bit-packed groups, mixed, of numbers of `bit_width` (0 to 32). Fills `out`.
bool read_hybrid(std::span<const std::byte>& in, int bit_width, std::span<std::uint32_t> out);

/// Delta binary packed: blocks of differences. Sums wrap around, as 64-bit numbers do; 32-bit
/// columns take the low half.
///   most  more values than these are refused
bool read_deltas(std::span<const std::byte>& in, std::size_t most, std::vector<std::int64_t>& out);

}  // namespace retinue::runtime::detail
