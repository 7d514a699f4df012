#pragma once

#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Messages in the form that templates take, and what they show in order of appearance.
struct Conversation {
  std::shared_ptr<const nlohmann::ordered_json> messages;
  std::vector<MediaReference> media;
};

/// Reads OpenAI-style messages: content is a string or a list of {type: text | image | image_url |
/// video | video_url, …} in any order. Paths are relative to `base_dir`; file:// is taken off,
/// data: stays as it is. DataError for anything else, also for http:// and for media where the
/// template shows none (system and assistant messages).
Result<Conversation> parse_messages(const nlohmann::ordered_json& messages,
                                    const std::string& base_dir);

}  // namespace retinue::runtime
