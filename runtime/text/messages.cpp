#include "runtime/text/messages.h"

#include "runtime/media/media_path.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <optional>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

DataError refuse(std::size_t message, const std::string& what) {
  return {"prompt", fmt::format("message {}: {}", message, what)};
}

/// The value that names the media: a key of its own ("image"), or one of the aliases.
const Json* find_source(const Json& item, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    const auto found = item.find(key);
    if (found != item.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

std::string not_served(const std::string& key) {
  return fmt::format("{} is not served yet. Remove it.", key);
}

/// Fills `reference`; returns the reason where it cannot.
std::optional<std::string> read_media(const Json& item, MediaKind kind, const std::string& base_dir,
                                      MediaReference& reference) {
  const bool video = kind == MediaKind::kVideo;
  const Json* source = video ? find_source(item, {"video", "video_url", "path", "url"})
                             : find_source(item, {"image", "image_url", "path", "url"});
  reference.kind = kind;
  for (const Json* json : {&item, source})
    if (json != nullptr)
      if (const std::string key = vision_option_in(*json); !key.empty()) return not_served(key);
  if (source != nullptr && source->is_object() && source->contains("url") &&
      (*source)["url"].is_array())
    source = &(*source)["url"];
  std::vector<const Json*> entries;
  if (source != nullptr && video && source->is_array()) {
    for (const Json& frame : *source) entries.push_back(&frame);
  } else if (source != nullptr) {
    entries.push_back(source);
  }
  if (entries.empty()) return video ? "the video names no file" : "the image names no file";
  for (const Json* entry : entries) {
    if (const std::string key = vision_option_in(*entry); !key.empty()) return not_served(key);
    const auto text = media_text(*entry);
    if (!text || text->empty()) return "wanted the path of an image or video as a string";
    auto path = resolve_media_path(*text, base_dir);
    if (!path.ok()) return path.error().message;
    reference.files.emplace_back(std::move(path).value());
  }
  if (const auto fps = item.find("fps"); video && fps != item.end() && !fps->is_null()) {
    if (!fps->is_number() || !(fps->get<double>() > 0.0)) return "fps wants a positive number";
    reference.fps = fps->get<double>();
  }
  return std::nullopt;
}

}  // namespace

bool is_vision_option(std::string_view key) {
  constexpr std::array<std::string_view, 12> kOptions = {
      "video_start", "video_end",    "nframes",        "min_frames",    "max_frames", "min_pixels",
      "max_pixels",  "total_pixels", "resized_height", "resized_width", "sample_fps", "raw_fps"};
  return std::find(kOptions.begin(), kOptions.end(), key) != kOptions.end();
}

std::string vision_option_in(const Json& json) {
  if (json.is_object())
    for (const auto& [key, value] : json.items())
      if (is_vision_option(key) && !value.is_null()) return key;
  return "";
}

std::optional<std::string> media_text(const Json& entry) {
  if (entry.is_string()) return entry.get<std::string>();
  if (!entry.is_object()) return std::nullopt;
  const auto text = [&](const char* key) {
    const auto found = entry.find(key);
    return found != entry.end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (const std::string bytes = text("bytes"); !bytes.empty())
    return "data:application/octet-stream;base64," + bytes;
  for (const char* key : {"path", "url"})
    if (std::string name = text(key); !name.empty()) return name;
  return std::nullopt;
}

Result<Conversation> parse_messages(const Json& messages, const std::string& base_dir) {
  if (!messages.is_array() || messages.empty()) {
    return DataError{"prompt", "wanted a list of messages, each with role and content"};
  }
  Conversation out;
  Json normal = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    if (!message.is_object() || !message.contains("role") || !message["role"].is_string()) {
      return refuse(i, "wanted an object with a role");
    }
    if (const std::string key = vision_option_in(message); !key.empty())
      return refuse(i, not_served(key));
    Json copy = message;
    const auto content = message.find("content");
    if (content == message.end() || content->is_null()) {
      copy["content"] = "";  // an assistant that only calls tools
    } else if (content->is_array()) {
      const std::string role = message["role"].get<std::string>();
      Json items = Json::array();
      for (const Json& item : *content) {
        if (!item.is_object()) return refuse(i, "wanted items of content that are objects");
        const std::string type =
            item.value("type", Json("")).is_string() ? item.value("type", "") : "";
        // Exports of a data frame give each part the keys of all parts.
        const auto has = [&](const char* key) {
          return item.contains(key) && !item[key].is_null();
        };
        const bool image =
            type == "image" || type == "image_url" || has("image") || has("image_url");
        const bool video =
            type == "video" || type == "video_url" || has("video") || has("video_url");
        if (image || video) {
          if (role != "user" && role != "tool") {
            return refuse(i, fmt::format("a {} message shows no images or videos", role));
          }
          MediaReference reference;
          const auto kind = image ? MediaKind::kImage : MediaKind::kVideo;
          if (const auto why = read_media(item, kind, base_dir, reference)) return refuse(i, *why);
          out.media.push_back(std::move(reference));
          items.push_back({{"type", image ? "image" : "video"}});
        } else if (has("text") && item["text"].is_string()) {
          items.push_back({{"type", "text"}, {"text", item["text"]}});
        } else {
          return refuse(i, fmt::format("content of type \"{}\" is not text, image or video", type));
        }
      }
      copy["content"] = std::move(items);
    } else if (!content->is_string()) {
      return refuse(i, "wanted content that is a string or a list");
    }
    normal.push_back(std::move(copy));
  }
  out.messages = std::make_shared<const Json>(std::move(normal));
  return out;
}

}  // namespace retinue::runtime
