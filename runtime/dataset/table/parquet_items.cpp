#include "runtime/dataset/table/parquet_items.h"

#include "parallel/base/check.h"
#include "runtime/dataset/file_kind.h"
#include "runtime/dataset/json_line.h"
#include "runtime/dataset/manifest_conversation.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/table/parquet_columns.h"
#include "runtime/dataset/table/row_messages.h"
#include "runtime/formats/parquet/nested.h"
#include "runtime/formats/parquet/reader.h"
#include "runtime/media/media_path.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <filesystem>
#include <optional>
#include <span>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostOpen = 4;
constexpr std::int64_t kCacheBytes = std::int64_t{64} << 20;
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

/// The images or videos of one name, row by row.
class MediaReader {
 public:
  ///   count  whether the absent values of a column that is no list matter. A list or a text is always
  ///          read; other columns may share their pages with large bytes.
  MediaReader(const std::shared_ptr<const ParquetFile>& file, const std::string& table,
              detail::MediaColumns columns, bool count)
      : table_(table), columns_(std::move(columns)) {
    if (columns_.list || columns_.text || count) cursor_.emplace(file, *columns_.counted());
  }

  /// Adds the media of a row to the item; `absent` is set where the row has a null instead.
  std::optional<DataError> add(std::int64_t row, Item& item, bool& absent) {
    std::size_t count = 1;
    std::vector<std::optional<std::string>> paths;
    if (cursor_ && (columns_.list || columns_.text)) {
      auto cell = cursor_->cell(row);
      if (!cell.ok()) return cell.error();
      absent = cell->null;
      count = absent ? 0 : cell->values.size();
      if (columns_.text) paths = std::move(cell->values);
    } else if (cursor_) {
      std::vector<ParquetEntry> entries;
      std::int64_t bytes_left = kMostPathBytes;
      const auto read = cursor_->entries(row, bytes_left, entries);
      if (!read.ok()) return read.error();
      absent = entries.front().definition < columns_.present;
      count = absent ? 0 : 1;
    }
    for (std::size_t i = 0; i < count; ++i) {
      auto file = file_of(row, i, i < paths.size() ? paths[i] : std::nullopt);
      if (!file.ok()) return file.error();
      item.media.push_back({columns_.name == "video" ? MediaKind::kVideo : MediaKind::kImage,
                            {std::move(file).value()},
                            0.0});
    }
    return std::nullopt;
  }

 private:
  static constexpr std::int64_t kMostPathBytes = 1 << 20;

  [[nodiscard]] Result<MediaFile> file_of(std::int64_t row, std::size_t i,
                                          const std::optional<std::string>& path) const {
    if (path) {
      auto resolved = resolve(table_, *path);
      if (!resolved.ok()) return resolved.error();
      return MediaFile(std::move(resolved).value());
    }
    MediaFile file(table_);
    file.place = MediaPlace::kCell;
    file.member = columns_.name;
    file.offset = row;
    file.bytes = static_cast<std::int64_t>(i);
    return file;
  }

  const std::string& table_;
  detail::MediaColumns columns_;
  std::optional<ParquetCursor> cursor_;
};

/// A column of messages or conversations: JSON text or typed.
class ConversationReader {
 public:
  ConversationReader(const std::shared_ptr<const ParquetFile>& file, const ParquetNode* column) {
    if (column == nullptr) return;
    name_ = column->name;
    if (column->shape == ParquetNode::Shape::kLeaf)
      text_.emplace(file, static_cast<int>(column->first_column));
    else
      typed_.emplace(file, *column);
  }

  /// The value of a row; null where it is absent.
  Result<Json> value(std::int64_t row) {
    if (typed_) {
      auto json = typed_->value(row);
      return json.ok() ? detail::untyped(std::move(json).value()) : json;
    }
    if (!text_) return Json();
    auto cell = text_->cell(row);
    if (!cell.ok()) return cell.error();
    if (cell->null) return Json();
    auto json = detail::parse_json_line(*cell->values[0]);
    if (!json.ok()) return bad(fmt::format("{}: {}", name_, json.error().message));
    if (json->is_discarded()) return bad(name_ + ": is not JSON");
    return json;
  }

 private:
  std::string name_;
  std::optional<ParquetCursor> text_;
  std::optional<ParquetJson> typed_;
};

class Rows {
 public:
  Rows(const std::string& path, const std::shared_ptr<const ParquetFile>& file,
       const detail::TableColumns& columns, ItemSink& sink)
      : path_(path),
        sink_(sink),
        messages_(file, columns.messages),
        conversations_(file, columns.conversations) {
    const bool converses = columns.messages != nullptr || columns.conversations != nullptr;
    for (const detail::MediaColumns& media : columns.media)
      media_.emplace_back(file, path_, media, converses);
    const std::array<std::optional<int>, kTexts> texts = {columns.id, columns.prompt,
                                                          columns.question, columns.system};
    for (std::size_t i = 0; i < texts.size(); ++i)
      if (texts[i]) texts_[i].emplace(file, *texts[i]);
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
  static constexpr std::size_t kTexts = 4;

  std::optional<DataError> fill(std::int64_t row, Item& item) {
    std::array<std::optional<std::string>, kTexts> texts;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (!texts_[i]) continue;
      auto cell = texts_[i]->cell(row);
      if (!cell.ok()) return cell.error();
      if (!cell->null) texts[i] = std::move(cell->values[0]);
    }
    auto& [id, prompt, question, system] = texts;
    // Outputs are UTF-8, and bytes that differ stay different ids.
    if (id && !id->empty()) item.id = id_of_path(*id);
    item.prompt = std::move(prompt);
    if (system && !system->empty()) item.system = std::move(system);
    item.prompt_is_data = item.system_is_data = true;
    std::size_t nulls = 0;  // a list of no images is a value, a null is a missing one
    for (MediaReader& media : media_) {
      bool absent = false;
      if (auto error = media.add(row, item, absent)) return error;
      nulls += absent ? 1 : 0;
    }
    auto asked = take_conversation(row, item);
    if (!asked.ok()) return asked.error();
    if (*asked) return std::nullopt;
    if (!item.prompt && question && !question->empty()) item.prompt = std::move(question);
    if (item.media.empty() && !item.prompt) return bad("the row shows nothing and asks nothing");
    // A model asked to describe an image that is not there would describe one.
    if (!media_.empty() && nulls == media_.size())
      return bad("the row has no image or video, and its table has a column for it");
    return std::nullopt;
  }

  /// Reads messages, else conversations.   returns  false where the row has neither
  Result<bool> take_conversation(std::int64_t row, Item& item) {
    auto messages = messages_.value(row);
    if (!messages.ok()) return messages.error();
    if (!messages->is_null()) {
      if (item.prompt) return bad("messages stand alone: no prompt beside them");
      if (item.system) return bad("messages stand alone: write system as the first of them");
      if (auto error = detail::read_row_messages(std::move(messages).value(), path_, row, item))
        return *error;
      return true;
    }
    if (item.prompt) return false;
    auto turns = conversations_.value(row);
    if (!turns.ok()) return turns.error();
    if (turns->is_null() || turns->empty()) return false;
    if (auto error = detail::take_conversations(*turns, item, sink_)) return *error;
    return true;
  }

  const std::string& path_;
  ItemSink& sink_;
  std::vector<MediaReader> media_;
  std::array<std::optional<ParquetCursor>, kTexts> texts_;  ///< id, prompt, question, system
  ConversationReader messages_, conversations_;
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

bool read_parquet(const std::string& path, bool prompt_given, ItemSink& sink) {
  auto file = open_table(path);
  if (!file.ok() && file.error().stage == kUnsupportedParquet)
    throw UsageError("[--input] " + file.error().message);
  if (!file.ok()) {
    Item item;
    item.id = item.source = path;
    item.error = file.error();
    return sink.add(std::move(item));
  }
  Rows rows(path, file.value(), detail::find_columns(*file.value(), prompt_given, sink), sink);
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
  const detail::MediaColumns columns(table, file.member);
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
