#include "runtime/dataset/manifest.h"

#include "runtime/dataset/json_line.h"
#include "runtime/dataset/manifest_conversation.h"
#include "runtime/dataset/manifest_keys.h"
#include "runtime/dataset/manifest_shape.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/openai_batch.h"
#include "runtime/media/media_path.h"
#include "runtime/text/messages.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <utility>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

DataError bad(std::string message) { return {"manifest", std::move(message)}; }

/// Reads what names an image or video, or a list of them.
std::optional<DataError> read_paths(const Json& value, const char* key, bool many,
                                    std::vector<std::string>& paths) {
  const auto asks = [&](const Json& entry) -> std::optional<DataError> {
    const std::string option = vision_option_in(entry);
    if (option.empty()) return std::nullopt;
    return bad(fmt::format("{}: {} is not served yet. Remove it.", key, option));
  };
  if (auto error = asks(value)) return error;
  if (auto text = media_text(value)) {
    paths.push_back(std::move(*text));
  } else if (value.is_array() && (many || !value.empty())) {
    for (const Json& entry : value) {
      if (auto error = asks(entry)) return error;
      auto path = media_text(entry);
      if (!path) return bad(fmt::format("{}: wanted a list of paths", key));
      paths.push_back(std::move(*path));
    }
  } else {
    return bad(
        fmt::format("{}: wanted {}, got {}", key, many ? "paths" : "a path", value.type_name()));
  }
  if (paths.empty()) return bad(fmt::format("{}: names no file", key));
  for (const std::string& path : paths)
    if (path.empty()) return bad(fmt::format("{}: an empty path", key));
  return std::nullopt;
}

/// The keys of images and videos that the line has; those with a value where there is one. A line
/// that names an image and has none fails: reading the empty value says so.
std::vector<const char*> media_keys(const Json& line) {
  std::vector<const char*> there, filled;
  for (const char* key : {"image", "images", "video"}) {
    if (line.contains(key)) there.push_back(key);
    if (has_value(line, key)) filled.push_back(key);
  }
  return filled.empty() ? there : filled;
}

std::optional<DataError> read_fps(const Json& line, MediaReference& reference) {
  const auto fps = line.find("fps");
  if (fps == line.end() || fps->is_null()) return std::nullopt;
  if (!fps->is_number() || !(fps->get<double>() > 0.0)) return bad("fps: wanted a positive number");
  reference.fps = fps->get<double>();
  return std::nullopt;
}

std::optional<DataError> read_media(const Json& line, const std::string& base_dir, Item& item) {
  const auto keys = media_keys(line);
  if (keys.size() > 1 && keys[0] == std::string_view("image") &&
      keys[1] == std::string_view("images"))
    return bad("image and images in one line");
  for (const char* key : keys) {
    const bool video = key == std::string_view("video");
    std::vector<std::string> paths;
    if (auto error = read_paths(line[key], key, key != std::string_view("image"), paths))
      return error;
    MediaReference all{video ? MediaKind::kVideo : MediaKind::kImage, {}, 0.0};
    for (const std::string& text : paths) {
      auto path = resolve_media_path(text, base_dir);
      if (!path.ok()) return bad(fmt::format("{}: {}", key, path.error().message));
      all.files.emplace_back(std::move(path).value());
    }
    if (!video) {
      for (MediaFile& file : all.files) item.media.push_back({all.kind, {std::move(file)}, 0.0});
      continue;
    }
    if (auto error = read_fps(line, all)) return error;
    item.media.push_back(std::move(all));
  }
  return std::nullopt;
}

std::optional<DataError> take_messages(const Json& messages, const std::string& base_dir,
                                       Item& item) {
  auto conversation = parse_messages(messages, base_dir);
  if (!conversation.ok()) return conversation.error();
  item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
  item.media = std::move(conversation->media);
  return std::nullopt;
}

/// The path of the only image or video is the id of a line without one.
void take_id(const Json& line, Item& item) {
  if (line.contains("id") || item.media.empty()) return;
  const auto keys = media_keys(line);
  const Json& named = line[keys.empty() ? "messages" : keys[0]];
  if (!named.is_string() || named.get_ref<const std::string&>().starts_with("data:")) return;
  item.id = named.get<std::string>();
  item.qualified_id = item.source;  // another question about the same image
}

std::optional<DataError> read_line(const Json& line, const std::string& base_dir, Item& item,
                                   ItemSink& sink) {
  if (!line.is_object()) return bad(fmt::format("wanted an object, got {}", line.type_name()));
  if (auto error = read_id_and_prompt(line, item)) return error;
  if (auto error = check_keys(line, sink)) return error;
  if (auto error = read_system_and_question(line, item)) return error;
  if (auto error = read_sampling(line, item)) return error;
  const bool shows =
      has_value(line, "image") || has_value(line, "images") || has_value(line, "video");
  if (has_value(line, "messages")) {
    if (shows || item.prompt)
      return bad("messages stand alone: no image, images, video or prompt beside them");
    if (item.system) return bad("messages stand alone: write system as the first of them");
    if (auto error = take_messages(line["messages"], base_dir, item)) return error;
  } else {
    if (auto error = read_media(line, base_dir, item)) return error;
    if (has_value(line, "conversations") && !item.prompt) {
      if (auto refused = take_conversations(line["conversations"], item, sink)) return refused;
    } else if (line.contains("messages") && item.media.empty() && !item.prompt) {
      return take_messages(line["messages"], base_dir, item);
    }
  }
  if (item.media.empty() && item.messages.empty() && !item.prompt)
    return bad("has none of image, images, video, messages, prompt");
  for (MediaReference& media : item.media) {
    auto expanded = expand_frame_folder(std::move(media), &sink);
    if (!expanded.ok()) return expanded.error();
    media = std::move(expanded).value();
  }
  take_id(line, item);
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

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool is_blank(const std::string& line) {
  return line.find_first_not_of(" \t\r") == std::string::npos;
}

/// The lines to the second that is not blank.
std::vector<std::string> first_lines(std::istream& lines) {
  std::vector<std::string> read;
  std::string text;
  for (int left = 2; left > 0 && std::getline(lines, text);) {
    read.push_back(text);
    if (read.size() == 1 && text.starts_with(kByteOrderMark)) text.erase(0, 3);
    if (!is_blank(text)) --left;
  }
  return read;
}

}  // namespace

std::optional<DataError> read_id_and_prompt(const Json& line, Item& item) {
  if (const auto id = line.find("id"); id != line.end() && !id->is_null()) {
    // A data frame writes 3.0 where a column of numbers has an empty cell, and "" in one of texts.
    constexpr double kExact = 9007199254740992.0;  // 2^53
    const double number = id->is_number_float() ? id->get<double>() : 0.5;
    if (id->is_number_integer())
      item.id = id->dump();
    else if (std::trunc(number) == number && std::abs(number) < kExact)
      item.id = std::to_string(static_cast<std::int64_t>(number));
    else if (id->is_string())
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

std::optional<DataError> read_system_and_question(const Json& line, Item& item) {
  for (const char* key : {"system", "question"}) {
    if (!has_value(line, key)) continue;
    if (key == std::string_view("question") &&
        (item.prompt || has_value(line, "messages") || has_value(line, "conversations")))
      continue;
    if (!line[key].is_string()) return bad(fmt::format("{}: wanted a string", key));
    (key == std::string_view("system") ? item.system : item.prompt) = line[key].get<std::string>();
  }
  return std::nullopt;
}

bool read_manifest(std::istream& lines, const std::string& name, const std::string& base_dir,
                   ItemSink& sink) {
  std::vector<std::string> ahead = first_lines(lines);
  if (!ahead.empty()) {
    const auto blank = [](const std::string& line) { return is_blank(line); };
    const auto first = std::find_if_not(ahead.begin(), ahead.end(), blank);
    const bool two = first != ahead.end() && std::next(first) != ahead.end();
    if (first != ahead.end()) check_manifest_shape(*first, two ? ahead.back() : "", name);
  }
  std::error_code error;
  // Bytes that came through a pipe cannot be read again.
  const bool in_file = name != "-" && std::filesystem::is_regular_file(name, error);
  std::string text;
  std::int64_t next_offset = 0, number = 0;
  const auto take = [&] {
    const auto at = static_cast<std::size_t>(number++);
    if (at >= ahead.size()) return static_cast<bool>(std::getline(lines, text));
    text = std::move(ahead[at]);
    return true;
  };
  while (take()) {
    std::int64_t offset = next_offset;
    next_offset += static_cast<std::int64_t>(text.size()) + 1;
    if (number == 1 && text.starts_with(kByteOrderMark)) text.erase(0, 3), offset += 3;
    if (is_blank(text)) continue;
    Item item;
    item.source = fmt::format("{}:{}", name, number);
    const auto line = parse_json_line(text);
    if (!line.ok()) {
      item.error = line.error();
    } else if (line.value().is_discarded()) {
      item.error = bad("is not JSON");
    } else {
      item.error = is_batch_line(*line) ? read_batch_line(*line, base_dir, item, sink)
                                        : read_line(*line, base_dir, item, sink);
    }
    if (item.error) item.media.clear();
    if (in_file) leave_in_place(text, name, offset, item);
    if (item.id.empty()) item.id = item.source;
    if (!sink.add(std::move(item))) return false;
  }
  return true;
}

}  // namespace retinue::runtime::detail
