#pragma once
// Tested through tests/runtime/engine/scheduler_test.cpp.

#include "layers/decoder/mrope.h"
#include "runtime/engine/request.h"

#include <cstdint>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Keys of a prompt's full blocks. Each hashes the key before it and the block's tokens, positions
/// and image contents: SHA-256, cut to 128 bits. The first block with an image of unknown content
/// ends the list.
///   feature_of  [tokens] index among the prompt's visual tokens, or -1
std::vector<ContentKey> block_keys(const Request& request, const layers::PromptPositions& positions,
                                   std::span<const std::int32_t> feature_of,
                                   std::span<const std::int64_t> visual_tokens,
                                   std::int64_t block_tokens);

}  // namespace retinue::runtime
