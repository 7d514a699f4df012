#include "runtime/dataset/parquet_items.h"

#include "parallel/base/check.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/formats/parquet/reader.h"
#include "runtime/media/media_path.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostOpen = 4;
constexpr std::int64_t kCacheBytes = std::int64_t{64} << 20;
/// Marks, in messages, an image of the row.
constexpr std::string_view kOfTheRow = "retinue-row:";

DataError bad(std::string message) { return {"parquet", std::move(message)}; }

Result<std::shared_ptr<const ParquetFile>> open_table(const std::string& path) {
  ParquetOptions options;
  options.cache_bytes = kCacheBytes;
  return ParquetFile::open(path, options);
}

/// A path of the table, as it is opened.
Result<std::string> resolve(const std::string& table, const std::string& path) {
  return resolve_media_path(path, std::filesystem::path(table).parent_path().string());
}

/// The columns of images under one name.
struct MediaColumns {
  std::string name;
  std::optional<int> bytes, path, leaf;
  bool list = false, text = false;

  MediaColumns(const ParquetFile& file, const std::string& column)
      : name(column),
        bytes(file.find(column + ".bytes")),
        path(file.find(column + ".path")),
        leaf(file.find(column)) {
    if (const auto any = counted()) list = file.columns()[static_cast<std::size_t>(*any)].list;
    text = leaf && file.columns()[static_cast<std::size_t>(*leaf)].text;
  }
  /// A column whose cells give the number of images; a small one where there is one.
  [[nodiscard]] std::optional<int> counted() const { return path ? path : leaf ? leaf : bytes; }
};

class Rows {
 public:
  Rows(const std::string& path, std::shared_ptr<const ParquetFile> file)
      : path_(path), file_(std::move(file)) {
    for (const char* name : {"image", "images", "video"}) {
      MediaColumns columns(*file_, name);
      if (!columns.counted()) continue;
      // Reads only lists and texts: other columns share their pages with large bytes.
      std::optional<ParquetCursor> cursor;
      if (columns.list || columns.text) cursor.emplace(file_, *columns.counted());
      media_.emplace_back(std::move(columns), std::move(cursor));
    }
    for (auto& [name, cursor] : texts_)
      if (const auto column = file_->find(name)) cursor.emplace(file_, *column);
    if (media_.empty() && !texts_[1].second && !texts_[2].second) {
      std::string there;
      for (const ParquetColumn& column : file_->columns())
        there += (there.empty() ? "" : ", ") + column.path;
      throw UsageError(fmt::format(
          "[--input] {}: none of the columns image, images, video, prompt, messages. There are: {}",
          path, there));
    }
  }

  Item item(std::int64_t row) {
    Item item;
    item.source = fmt::format("{}:{}", path_, row);
    item.id = item.qualified_id = item.source;
    if (auto error = fill(row, item)) {
      item.error = std::move(error);
      item.media.clear();
    }
    return item;
  }

 private:
  std::optional<DataError> fill(std::int64_t row, Item& item) {
    std::array<std::optional<std::string>, 3> texts;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (!texts_[i].second) continue;
      auto cell = texts_[i].second->cell(row);
      if (!cell.ok()) return cell.error();
      if (!cell->null && cell->values.size() == 1) texts[i] = std::move(cell->values[0]);
    }
    if (texts[0] && !texts[0]->empty()) item.id = *texts[0];
    item.prompt = std::move(texts[1]);
    std::size_t nulls = 0;  // a list of no images is a value, a null is a missing one
    for (auto& [columns, cursor] : media_)
      if (auto error = add_media(row, columns, cursor, item, nulls)) return error;
    if (texts[2]) return read_messages(*texts[2], item);
    if (item.media.empty() && !item.prompt) return bad("the row shows nothing and asks nothing");
    // A model asked to describe an image that is not there would describe one.
    if (!media_.empty() && nulls == media_.size())
      return bad("the row has no image or video, and its table has a column for it");
    return std::nullopt;
  }

  std::optional<DataError> add_media(std::int64_t row, const MediaColumns& columns,
                                     std::optional<ParquetCursor>& cursor, Item& item,
                                     std::size_t& nulls) {
    std::size_t count = 1;
    std::vector<std::optional<std::string>> values;
    if (cursor) {
      auto cell = cursor->cell(row);
      if (!cell.ok()) return cell.error();
      if (cell->null) return ++nulls, std::nullopt;
      count = cell->values.size();
      if (columns.text) values = std::move(cell->values);
    }
    for (std::size_t i = 0; i < count; ++i) {
      MediaFile file(path_);
      if (i < values.size() && values[i]) {
        auto resolved = resolve(path_, *values[i]);
        if (!resolved.ok()) return resolved.error();
        file.path = std::move(resolved).value();
      } else {
        file.place = MediaPlace::kCell;
        file.member = columns.name;
        file.offset = row;
        file.bytes = static_cast<std::int64_t>(i);
      }
      item.media.push_back({columns.name == "video" ? MediaKind::kVideo : MediaKind::kImage,
                            {std::move(file)},
                            0.0});
    }
    return std::nullopt;
  }

  std::optional<DataError> read_messages(const std::string& text, Item& item) {
    if (item.prompt) return bad("messages stand alone: no prompt beside them");
    Json messages = Json::parse(text, nullptr, false);
    if (messages.is_discarded()) return bad("messages: is not JSON");
    std::size_t shown = 0;
    for (Json& message : messages) {
      if (!message.is_object() || !message.contains("content") || !message["content"].is_array())
        continue;
      for (Json& entry : message["content"]) {
        const std::string type = entry.is_object() ? entry.value("type", "") : "";
        if ((type == "image" || type == "video") && !entry.contains("path") &&
            !entry.contains("url") && entry.value(type, Json()).is_null())
          entry[type] = fmt::format("{}{}", kOfTheRow, shown++);
      }
    }
    if (shown != item.media.size())
      return bad(fmt::format("messages show {} of the row's images and videos, it has {}", shown,
                             item.media.size()));
    auto conversation =
        parse_messages(messages, std::filesystem::path(path_).parent_path().string());
    if (!conversation.ok()) return conversation.error();
    std::size_t next = 0;
    for (MediaReference& media : conversation->media)
      if (media.files[0].path.find(kOfTheRow) != std::string::npos)
        media.files = item.media[next++].files;
    item.messages = conversation->messages->dump(-1, ' ', false, Json::error_handler_t::replace);
    item.media = std::move(conversation->media);
    return std::nullopt;
  }

  const std::string& path_;
  std::shared_ptr<const ParquetFile> file_;
  std::vector<std::pair<MediaColumns, std::optional<ParquetCursor>>> media_;
  std::array<std::pair<const char*, std::optional<ParquetCursor>>, 3> texts_ = {
      {{"id", std::nullopt}, {"prompt", std::nullopt}, {"messages", std::nullopt}}};
};

/// A value of a list, or the only value; nothing where it is absent.
Result<std::optional<std::string>> value_of(const ParquetFile& file, int column, std::int64_t row,
                                            std::int64_t at) {
  auto cell = file.cell(row, column);
  if (!cell.ok()) return cell.error();
  if (cell->null || at >= static_cast<std::int64_t>(cell->values.size()))
    return std::optional<std::string>();
  return std::move(cell->values[static_cast<std::size_t>(at)]);
}

std::vector<std::byte> to_bytes(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

bool read_parquet(const std::string& path, ItemSink& sink) {
  auto file = open_table(path);
  if (!file.ok()) {
    Item item;
    item.id = item.source = path;
    item.error = file.error();
    return sink.add(std::move(item));
  }
  Rows rows(path, file.value());
  for (std::int64_t row = 0; row < file.value()->rows(); ++row)
    if (!sink.add(rows.item(row))) return false;
  return true;
}

Result<std::shared_ptr<const ParquetFile>> OpenTables::open(const std::string& path) {
  {
    const std::lock_guard lock(mutex_);
    for (auto at = files_.begin(); at != files_.end(); ++at) {
      if (at->first != path) continue;
      files_.splice(files_.begin(), files_, at);
      return files_.front().second;
    }
  }
  auto file = open_table(path);
  if (!file.ok()) return file;
  const std::lock_guard lock(mutex_);
  files_.emplace_front(path, file.value());
  if (files_.size() > kMostOpen) files_.pop_back();
  return file;
}

Result<std::vector<std::byte>> read_cell(const MediaFile& file, OpenTables* tables) {
  auto opened = tables != nullptr ? tables->open(file.path) : open_table(file.path);
  if (!opened.ok()) return opened.error();
  const ParquetFile& table = **opened;
  const auto gone = [&] {
    return DataError{
        "read", fmt::format("{}: the table is not what it was when it was listed", file.name())};
  };
  if (file.offset < 0 || file.offset >= table.rows()) return gone();
  const MediaColumns columns(table, file.member);
  if (!columns.counted()) return gone();
  for (const auto& column : {columns.bytes, columns.text ? std::nullopt : columns.leaf}) {
    if (!column) continue;
    const auto value = value_of(table, *column, file.offset, file.bytes);
    if (!value.ok()) return value.error();
    if (value.value()) return to_bytes(*value.value());
  }
  for (const auto& column : {columns.path, columns.text ? columns.leaf : std::nullopt}) {
    if (!column) continue;
    auto value = value_of(table, *column, file.offset, file.bytes);
    if (!value.ok()) return value.error();
    if (!value.value()) continue;
    auto resolved = resolve(file.path, *value.value());
    if (!resolved.ok()) return resolved.error();
    auto read = read_media({MediaKind::kImage, {MediaFile(resolved.value())}, 0.0});
    if (!read.ok()) return read.error();
    return (**read)[0];
  }
  return DataError{"read", fmt::format("{}: column {} is empty", file.name(), file.member)};
}

}  // namespace retinue::runtime
