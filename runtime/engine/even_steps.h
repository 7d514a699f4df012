#pragma once

#include <algorithm>
#include <cstdint>

namespace retinue::runtime {

/// Sizes steps that mix prompts and decodes. Below a device's ridge a step takes as long as reading
/// the weights, however few rows it has; above it, as long as its rows. So a large step after which
/// small ones follow costs more than steps of equal size: each of these reads the weights, too.
struct EvenSteps {
  std::int64_t ridge_rows = 0;  ///< of the device; 0: every step is filled to its limit
  std::int64_t tile_rows = 1;   ///< rows in a tile of the device's products

  /// Rows of the next step, at most `limit`. Where all sequences are alike, each step has
  /// running · prompt_tokens / new_tokens rows of prompts, so that one begins when one ends. That is
  /// rounded down to whole tiles, since more steps above the ridge cost nothing, and is never less
  /// than the ridge. A sequence that runs alone holds up no other: its prompt fills steps. Several
  /// that begin together in full steps would end together, and so would the next ones.
  ///   decodes        rows that decode
  ///   running        sequences, those that decode included
  ///   prompt_tokens  of all of these, without cached ones
  ///   new_tokens     that all of these are expected to give
  [[nodiscard]] std::int64_t rows(std::int64_t decodes, std::int64_t running,
                                  std::int64_t prompt_tokens, std::int64_t new_tokens,
                                  std::int64_t limit) const {
    if (ridge_rows == 0 || running <= 1) return limit;
    const std::int64_t prompts = running * prompt_tokens / std::max<std::int64_t>(new_tokens, 1);
    const std::int64_t even = (decodes + prompts) / tile_rows * tile_rows;
    const std::int64_t least = (ridge_rows + tile_rows - 1) / tile_rows * tile_rows;
    return std::clamp(std::max(even, least), std::min(decodes, limit), limit);
  }
};

}  // namespace retinue::runtime
