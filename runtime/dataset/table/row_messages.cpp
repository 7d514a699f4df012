#include "runtime/dataset/table/row_messages.h"

#include "runtime/text/messages.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

/// Marks, in messages, a file that lies in the table; its number follows.
constexpr std::string_view kInTable = "retinue-row:";

DataError bad(std::string message) { return {"parquet", std::move(message)}; }

/// The place of a binary value that a typed column left in the file.
MediaFile cell_of(const std::string& table, std::int64_t row, const Json::binary_t& value) {
  MediaFile file(table);
  file.place = MediaPlace::kCell;
  file.member = std::string(value.begin(), value.end());
  file.offset = row;
  file.bytes = static_cast<std::int64_t>(value.subtype());
  return file;
}

/// Replaces the images and videos of messages that lie in the table by marks.
class Marks {
 public:
  Marks(const std::string& table, std::int64_t row, const Item& item)
      : table_(table), row_(row), of_the_row_(item.media.size()) {
    for (const MediaReference& media : item.media) files_.push_back(media.files);
  }

  std::optional<DataError> mark(Json& messages) {
    for (Json& message : messages) {
      if (!message.is_object() || !message.contains("content") || !message["content"].is_array())
        continue;
      for (Json& part : message["content"])
        if (part.is_object())
          if (auto error = mark_part(part)) return error;
    }
    if (shown_.size() != of_the_row_)
      return bad(fmt::format("messages show {} of the row's images and videos, it has {}",
                             shown_.size(), of_the_row_));
    return std::nullopt;
  }

  /// The files that a path names where it is a mark; null otherwise.
  [[nodiscard]] const std::vector<MediaFile>* find(const std::string& path) const {
    const auto at = path.find(kInTable);
    if (at == std::string::npos) return nullptr;
    std::size_t number = 0;
    const char* begin = path.data() + at + kInTable.size();
    const auto read = std::from_chars(begin, path.data() + path.size(), number);
    return read.ec == std::errc() && number < files_.size() ? &files_[number] : nullptr;
  }

 private:
  std::optional<DataError> mark_part(Json& part) {
    for (const char* kind : {"image", "video"}) {
      const auto source = part.find(kind);
      if (source == part.end()) continue;
      // A video may be a list of frames.
      if (source->is_array())
        for (Json& frame : *source) mark_bytes(frame);
      else
        mark_bytes(*source);
    }
    const Json named = part.value("type", Json());
    const std::string type = named.is_string() ? named.get<std::string>() : "";
    const bool shows = type == "image" || type == "video";
    if (!shows || part.contains("path") || part.contains("url") ||
        !part.value(type, Json()).is_null())
      return std::nullopt;
    std::size_t index = shown_.size();
    if (const auto given = part.find("index"); given != part.end() && !given->is_null()) {
      const bool good = given->is_number_integer() && *given >= 0 && *given < of_the_row_;
      if (!good)
        return bad(fmt::format("index: wanted one of the row's {} images and videos, got {}",
                               of_the_row_, given->dump().substr(0, 40)));
      index = given->get<std::size_t>();
    }
    // Above the row's own: counted, so that the number in the message is right.
    shown_.insert(index);
    part[type] = fmt::format("{}{}", kInTable, index);
    return std::nullopt;
  }

  /// Hugging Face's struct of bytes and path, or bytes alone.
  void mark_bytes(Json& source) {
    const bool in_struct = source.is_object() && source.contains("bytes");
    const Json& bytes = in_struct ? source["bytes"] : source;
    if (!bytes.is_binary()) return;
    files_.push_back({cell_of(table_, row_, bytes.get_binary())});
    const std::string mark = fmt::format("{}{}", kInTable, files_.size() - 1);
    if (!in_struct) {
      source = mark;
      return;
    }
    source.erase("bytes");
    source["path"] = mark;
  }

  const std::string& table_;
  std::int64_t row_;
  std::size_t of_the_row_;
  std::vector<std::vector<MediaFile>> files_;
  std::set<std::size_t> shown_;
};

/// Removes absent fields. A struct of absent fields is how some writers store an absent struct.
void remove_absent(Json& json) {
  if (json.is_array())
    for (Json& element : json) remove_absent(element);
  if (!json.is_object()) return;
  Json out = Json::object();
  for (auto& [name, value] : json.items()) {
    const bool filled = value.is_object() && !value.empty();
    remove_absent(value);
    if (!value.is_null() && !(filled && value.empty())) out[name] = std::move(value);
  }
  json = std::move(out);
}

/// Turns an object of lists, as datasets' Sequence writes a list of objects, into the list.
std::optional<DataError> turn(Json& json) {
  if (!json.is_object() || json.empty() ||
      !std::all_of(json.begin(), json.end(), [](const Json& each) { return each.is_array(); }))
    return std::nullopt;
  Json rows = Json::array();
  const std::size_t count = json.front().size();
  for (std::size_t i = 0; i < count; ++i) rows.push_back(Json::object());
  for (auto& [name, list] : json.items()) {
    if (list.size() != count)
      return bad(fmt::format("its lists have different lengths: {} and {}", count, list.size()));
    for (std::size_t i = 0; i < count; ++i)
      if (!list[i].is_null()) rows[i][name] = std::move(list[i]);
  }
  json = std::move(rows);
  return std::nullopt;
}

}  // namespace

Result<Json> untyped(Json json) {
  remove_absent(json);
  if (auto error = turn(json)) return *error;
  if (json.is_array())
    for (Json& message : json)
      if (message.is_object() && message.contains("content"))
        if (auto error = turn(message["content"])) return *error;
  return json;
}

std::optional<DataError> read_row_messages(Json messages, const std::string& table,
                                           std::int64_t row, Item& item) {
  Marks marks(table, row, item);
  if (auto error = marks.mark(messages)) return error;
  auto conversation = parse_messages(messages, std::filesystem::path(table).parent_path().string());
  if (!conversation.ok()) return conversation.error();
  for (MediaReference& media : conversation->media) {
    std::vector<MediaFile> files;
    for (MediaFile& file : media.files)
      if (const auto* marked = marks.find(file.path))
        files.insert(files.end(), marked->begin(), marked->end());
      else
        files.push_back(std::move(file));
    media.files = std::move(files);
  }
  item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
  item.media = std::move(conversation->media);
  return std::nullopt;
}

}  // namespace retinue::runtime::detail
