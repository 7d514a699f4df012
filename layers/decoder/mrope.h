#pragma once

#include "layers/spec/config.h"
#include "layers/spec/inputs.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::layers {

/// Three-axis positions of a prompt.  HF Qwen3VLModel.get_rope_index.
struct PromptPositions {
  std::vector<std::int32_t> values;  ///< [3, tokens]: time, height, width
  /// Position of the first generated token, on all axes; it rises by one per token.
  std::int32_t next = 0;
};

/// Text counts up on all axes. A visual block of rows × columns tokens that starts at p has time p,
/// height p + row, width p + column; the text after it goes on at p + max(rows, columns). A video
/// is one such block per temporal slice.
///   grids   of all images and videos, in prompt order
/// Throws: BugError when the placeholders do not match the grids (prompt.h makes both).
PromptPositions prompt_positions(const ModelConfig& config, std::span<const std::int32_t> ids,
                                 std::span<const GridThw> grids);

}  // namespace retinue::layers
