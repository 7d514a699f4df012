#pragma once

#include "layers/decoder/mrope.h"
#include "runtime/engine/request.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Names of a prompt's full pages, each from the one before, its tokens, their positions and the
/// pixels behind them: SHA-256 cut to 128 bits. The first page with pixels of unknown content ends
/// the list.
///   feature_of  [tokens] index among the prompt's visual tokens, or -1
std::vector<ContentKey> block_keys(const Request& request, const layers::PromptPositions& positions,
                                   std::span<const std::int32_t> feature_of,
                                   std::span<const std::int64_t> visual_tokens,
                                   std::int64_t block_tokens);

}  // namespace retinue::runtime
