#include "runtime/dataset/manifest.h"

#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/openai_batch.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <string_view>
#include <utility>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

DataError bad(std::string message) { return {"manifest", std::move(message)}; }

/// A path of the manifest as it is opened. parse_messages refuses addresses of the network.
std::string resolve(const std::string& path, const std::string& base_dir) {
  if (path.starts_with("data:")) return path;
  if (path.starts_with("file://")) return path.substr(7);
  return (std::filesystem::path(base_dir) / path).string();
}

/// Reads a string, or a list of strings where `many`.
std::optional<DataError> read_paths(const Json& value, const char* key, bool many,
                                    std::vector<std::string>& paths) {
  if (value.is_string()) {
    paths.push_back(value.get<std::string>());
  } else if (many && value.is_array()) {
    for (const Json& entry : value) {
      if (!entry.is_string()) return bad(fmt::format("{}: wanted a list of paths", key));
      paths.push_back(entry.get<std::string>());
    }
  } else {
    return bad(
        fmt::format("{}: wanted {}, got {}", key, many ? "paths" : "a path", value.type_name()));
  }
  if (paths.empty()) return bad(fmt::format("{}: names no file", key));
  for (const std::string& path : paths) {
    if (path.empty()) return bad(fmt::format("{}: an empty path", key));
    if (path.starts_with("http://") || path.starts_with("https://"))
      return bad(fmt::format("{}: {} is not a local file. Copy it first.", key, path));
  }
  return std::nullopt;
}

std::optional<DataError> read_media(const Json& line, const std::string& base_dir, Item& item) {
  const bool one = line.contains("image"), many = line.contains("images"),
             video = line.contains("video");
  if (one && many) return bad("image and images in one line");
  std::vector<std::string> paths;
  if (one || many) {
    const char* key = one ? "image" : "images";
    if (auto error = read_paths(line[key], key, many, paths)) return error;
    for (const std::string& path : paths)
      item.media.push_back({MediaKind::kImage, {resolve(path, base_dir)}, 0.0});
  }
  if (!video) return std::nullopt;
  paths.clear();
  if (auto error = read_paths(line["video"], "video", true, paths)) return error;
  MediaReference reference{MediaKind::kVideo, {}, 0.0};
  for (const std::string& path : paths) reference.files.emplace_back(resolve(path, base_dir));
  if (const auto fps = line.find("fps"); fps != line.end() && !fps->is_null()) {
    if (!fps->is_number() || !(fps->get<double>() > 0.0))
      return bad("fps: wanted a positive number");
    reference.fps = fps->get<double>();
  }
  item.media.push_back(std::move(reference));
  return std::nullopt;
}

std::optional<DataError> read_line(const Json& line, const std::string& base_dir, Item& item) {
  if (!line.is_object()) return bad(fmt::format("wanted an object, got {}", line.type_name()));
  if (auto error = read_id_and_prompt(line, item)) return error;
  if (line.contains("messages")) {
    if (line.contains("image") || line.contains("images") || line.contains("video") || item.prompt)
      return bad("messages stand alone: no image, images, video or prompt beside them");
    auto conversation = parse_messages(line["messages"], base_dir);
    if (!conversation.ok()) return conversation.error();
    item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
    item.media = std::move(conversation->media);
  } else if (auto error = read_media(line, base_dir, item)) {
    return error;
  }
  if (item.media.empty() && item.messages.empty() && !item.prompt)
    return bad("has none of image, images, video, messages, prompt");
  for (MediaReference& media : item.media) {
    auto expanded = expand_frame_folder(std::move(media));
    if (!expanded.ok()) return expanded.error();
    media = std::move(expanded).value();
  }
  if (line.contains("id") || item.media.empty()) return std::nullopt;
  const Json& named = line.contains("image")    ? line["image"]
                      : line.contains("images") ? line["images"]
                      : line.contains("video")  ? line["video"]
                                                : line["messages"];
  if (named.is_string() && !named.get_ref<const std::string&>().starts_with("data:"))
    item.id = named.get<std::string>();
  return std::nullopt;
}

/// Replaces a data: address by its place in the manifest, where the line holds it without escapes:
/// the item table would be as large as all images otherwise.
void leave_in_place(const std::string& line, const std::string& path, std::int64_t offset,
                    Item& item) {
  std::size_t from = 0;
  for (MediaReference& media : item.media)
    for (MediaFile& file : media.files) {
      const auto comma = file.path.find(',');
      if (!file.path.starts_with("data:") || comma == std::string::npos ||
          !file.path.substr(0, comma).ends_with(";base64"))
        continue;
      const std::string_view text = std::string_view(file.path).substr(comma + 1);
      const auto at = line.find(text, from);
      if (text.empty() || at == std::string::npos) continue;
      from = at + text.size();
      MediaFile there(path);
      there.place = MediaPlace::kBase64;
      there.member = file.path.substr(0, comma);
      there.offset = offset + static_cast<std::int64_t>(at);
      there.bytes = static_cast<std::int64_t>(text.size());
      file = std::move(there);
    }
}

}  // namespace

std::optional<DataError> read_id_and_prompt(const Json& line, Item& item) {
  if (const auto id = line.find("id"); id != line.end() && !id->is_null()) {
    if (id->is_number_integer())
      item.id = id->dump();
    else if (id->is_string() && !id->get_ref<const std::string&>().empty())
      item.id = id->get<std::string>();
    else
      return bad("id: wanted a string that is not empty");
  }
  if (const auto prompt = line.find("prompt"); prompt != line.end() && !prompt->is_null()) {
    if (!prompt->is_string()) return bad("prompt: wanted a string");
    item.prompt = prompt->get<std::string>();
  }
  return std::nullopt;
}

bool read_manifest(std::istream& lines, const std::string& name, const std::string& base_dir,
                   ItemSink& sink) {
  std::string text;
  std::int64_t offset = 0, next_offset = 0;
  for (std::int64_t number = 1; std::getline(lines, text); ++number) {
    offset = std::exchange(next_offset, next_offset + static_cast<std::int64_t>(text.size()) + 1);
    if (number == 1 && text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3), offset += 3;
    if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
    Item item;
    item.source = fmt::format("{}:{}", name, number);
    const Json line = Json::parse(text, nullptr, false);
    if (line.is_discarded()) {
      item.error = bad("is not JSON");
    } else {
      item.error = is_batch_line(line) ? read_batch_line(line, base_dir, item)
                                       : read_line(line, base_dir, item);
    }
    if (item.error) item.media.clear();
    if (name != "-") leave_in_place(text, name, offset, item);
    if (item.id.empty()) item.id = item.source;
    if (!sink.add(std::move(item))) return false;
  }
  return true;
}

}  // namespace retinue::runtime::detail
