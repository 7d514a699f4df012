#pragma once

// Tested through tests/runtime/text/prompt_test.cpp.

#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Messages in the form that templates take, and their images and videos in order of appearance.
struct Conversation {
  std::shared_ptr<const nlohmann::ordered_json> messages;
  std::vector<MediaReference> media;
};

/// Reads OpenAI-style messages: content is a string or a list of {type: text | image | image_url |
/// video | video_url, …} in any order. Paths are relative to `base_dir`; file:// is removed, data:
/// stays.
/// Errors: anything else; http://; images and videos in system and assistant messages, where
///   templates show none.
Result<Conversation> parse_messages(const nlohmann::ordered_json& messages,
                                    const std::string& base_dir);

}  // namespace retinue::runtime
