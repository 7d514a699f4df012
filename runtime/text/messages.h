#pragma once

// Tested through tests/runtime/text/prompt_test.cpp.

#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Messages in the form that templates take, and their images and videos in order of appearance.
struct Conversation {
  std::shared_ptr<const nlohmann::ordered_json> messages;
  std::vector<MediaReference> media;
};

/// Whether qwen-vl-utils reads this key beside an image or video (nframes, max_pixels, …) and
/// parse_messages() does not: what it asks for is not done.
bool is_vision_option(std::string_view key);

/// Reads OpenAI-style messages: content is a string or a list of {type: text | image | image_url |
/// video | video_url, …} in any order. Paths are resolved by resolve_media_path().
/// Errors: anything else; paths that resolve_media_path() refuses; keys of
///   is_vision_option() beside an image or video; images and videos in system and assistant messages, where
///   templates show none.
Result<Conversation> parse_messages(const nlohmann::ordered_json& messages,
                                    const std::string& base_dir);

}  // namespace retinue::runtime
