#pragma once

// Tested through tests/runtime/text/prompt_test.cpp.

#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <optional>
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

/// The first key of a JSON object that is_vision_option() and has a value; empty: none, or no object.
std::string vision_option_in(const nlohmann::ordered_json& json);

/// The text that names an image, video or frame: itself, or the url, path or base64 bytes of an object,
/// which is how OpenAI and Hugging Face write one. Nothing where there is none.
std::optional<std::string> media_text(const nlohmann::ordered_json& entry);

/// Reads OpenAI-style messages: content is a string or a list of {type: text | image | image_url |
/// video | video_url, …} in any order. Paths are resolved by resolve_media_path().
/// An image or video is a media_text(), a video also a list of them, its frames.
/// Errors: anything else; paths that resolve_media_path() refuses; keys of is_vision_option() in a
///   message, beside an image or video or in the object that names it; images and videos in system and
///   assistant messages, where templates show none.
Result<Conversation> parse_messages(const nlohmann::ordered_json& messages,
                                    const std::string& base_dir);

}  // namespace retinue::runtime
