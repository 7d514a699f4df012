#include "runtime/dataset/table/parquet_columns.h"

#include "parallel/base/check.h"
#include "runtime/dataset/manifest_keys.h"
#include "runtime/text/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace retinue::runtime::detail {
namespace {

using Shape = ParquetNode::Shape;
using Value = ParquetNode::Value;

constexpr std::array<std::string_view, 9> kRead = {
    "id", "image", "images", "video", "prompt", "question", "system", "messages", "conversations"};

bool is_read(std::string_view name) {
  return std::find(kRead.begin(), kRead.end(), name) != kRead.end();
}

[[noreturn]] void refuse(const ParquetFile& file, std::string_view column,
                         const std::string& what) {
  throw UsageError(fmt::format("[--input] {}: column {} {}", file.path(), column, what));
}

/// A column with a type: pandas writes one without a type where all of its values are absent.
const ParquetNode* find_node(const ParquetFile& file, std::string_view name) {
  const auto found = std::ranges::find(file.schema(), name, &ParquetNode::name);
  if (found == file.schema().end() || found->value == Value::kNull) return nullptr;
  return &*found;
}

/// Refuses a column that no row could be read of.
void check_readable(const ParquetFile& file, std::size_t column) {
  const std::string& path = file.columns()[column].path;
  if (std::ranges::count(file.columns(), path, &ParquetColumn::path) > 1)
    refuse(file, path, "is in the table several times. Rename all but one.");
  const std::string why = file.refusal(static_cast<int>(column));
  if (why.find("encrypted") != std::string::npos)
    refuse(file, path, why + ". Write one plain file.");
  if (!why.empty())
    refuse(file, path,
           fmt::format("{}. Convert the file: python3 -c 'import sys, pyarrow.parquet as p; "
                       "p.write_table(p.read_table(sys.argv[1]), sys.argv[2], "
                       "compression=\"zstd\")' '{}' new.parquet",
                       why, file.path()));
}

void check_readable(const ParquetFile& file, const ParquetNode& node) {
  for (std::size_t i = node.first_column; i < node.end_column; ++i) check_readable(file, i);
}

std::optional<int> find_text(const ParquetFile& file, std::string_view name) {
  const ParquetNode* node = find_node(file, name);
  if (node == nullptr) return std::nullopt;
  if (node->shape != Shape::kLeaf)
    refuse(file, name,
           fmt::format("is {}, wanted text. Rename it{}.", type_of(*node),
                       name == "prompt" ? ", to messages where it holds a conversation" : ""));
  check_readable(file, *node);
  return static_cast<int>(node->first_column);
}

bool holds_objects(const ParquetNode& node) {
  return node.shape == Shape::kStruct || node.shape == Shape::kMap;
}

/// Whether a column's values have the form of a conversation: a list of objects; datasets' Sequence
/// writes it as an object of lists.
bool is_list_of_objects(const ParquetNode& node) {
  if (node.shape == Shape::kList) return holds_objects(node.children[0]);
  return node.shape == Shape::kStruct &&
         std::ranges::all_of(node.children,
                             [](const ParquetNode& field) { return field.shape == Shape::kList; });
}

const ParquetNode* find_conversation(const ParquetFile& file, std::string_view name) {
  const ParquetNode* node = find_node(file, name);
  if (node == nullptr) return nullptr;
  const bool json =
      node->shape == Shape::kLeaf && (node->value == Value::kText || node->value == Value::kBinary);
  if (!json && !is_list_of_objects(*node))
    refuse(file, name,
           fmt::format("is {}, wanted JSON text or list<struct<{}>>. Convert or rename it.",
                       type_of(*node), name == "messages" ? "role, content" : "from, value"));
  check_readable(file, *node);
  return node;
}

/// Whether a column that is not read holds turns of a conversation.
bool looks_like_conversation(const ParquetNode& node) {
  if (!is_list_of_objects(node)) return false;
  const ParquetNode& object = node.shape == Shape::kList ? node.children[0] : node;
  const auto has = [&](std::string_view name) {
    return std::ranges::find(object.children, name, &ParquetNode::name) != object.children.end();
  };
  return has("role") || has("from") || has("content") || (has("user") && has("assistant"));
}

std::string vision_option_below(const ParquetNode& node) {
  if (is_vision_option(node.name)) return node.name;
  for (const ParquetNode& child : node.children)
    if (std::string option = vision_option_below(child); !option.empty()) return option;
  return "";
}

/// Finds the images or videos of one name.   returns  nothing where the table has none
std::optional<MediaColumns> find_media(const ParquetFile& file, const std::string& name) {
  const auto named = std::ranges::find(file.schema(), name, &ParquetNode::name);
  const bool there = named != file.schema().end();
  MediaColumns columns(file, name);
  if (there ? named->value == Value::kNull : !columns.counted()) return std::nullopt;
  bool good = columns.counted().has_value();
  for (const auto& column : {columns.bytes, columns.path, columns.leaf}) {
    if (!column) continue;
    const ParquetColumn& about = file.columns()[static_cast<std::size_t>(*column)];
    good = good && !about.nested &&
           (about.type == "string" || about.type == "binary" || about.type == "fixed_size_binary");
    check_readable(file, static_cast<std::size_t>(*column));
  }
  if (const std::string option = there ? vision_option_below(*named) : ""; !option.empty())
    refuse(file, name, fmt::format("has a field {}, which is not served yet. Remove it.", option));
  if (!good)
    refuse(file, name,
           fmt::format("is {}, wanted bytes, a path, struct<bytes, path> or a list of these. "
                       "Convert or rename it.",
                       there ? type_of(*named) : "of another type"));
  return columns;
}

/// A table made flat has columns of the names image.bytes and image.path.
bool is_media_leaf(const TableColumns& columns, const ParquetNode& node) {
  const auto is = [&](const std::optional<int>& column) {
    return column && static_cast<std::size_t>(*column) == node.first_column;
  };
  return std::ranges::any_of(
      columns.media, [&](const MediaColumns& media) { return is(media.bytes) || is(media.path); });
}

/// Counts the columns that are not read, and refuses those that seem to ask.
void check_others(const ParquetFile& file, const TableColumns& columns, bool prompt_given,
                  ItemSink& sink) {
  const bool asks = prompt_given || columns.prompt || columns.question ||
                    columns.messages != nullptr || columns.conversations != nullptr;
  const auto there = [&](std::string_view name) { return find_node(file, name) != nullptr; };
  for (const ParquetNode& node : file.schema()) {
    if (is_read(node.name) || node.value == Value::kNull || is_media_leaf(columns, node)) continue;
    if (is_vision_option(node.name))
      refuse(file, node.name, "is not served yet. Remove or rename it.");
    const std::string_view own = near_name(node.name, kRead, there);
    const bool shows = own == "image" || own == "images" || own == "video";
    if (!own.empty() && (shows || !prompt_given))
      refuse(file, node.name,
             fmt::format("is not read, and may mean \"{}\". Rename it{}.", own,
                         shows ? "" : ", or give --prompt"));
    if (!asks && looks_like_conversation(node))
      refuse(
          file, node.name,
          fmt::format("is {}, which looks like a conversation, and is not read. Name it messages "
                      "(role, content) or conversations (from, value), or give --prompt.",
                      type_of(node)));
    sink.passed_over(fmt::format("column \"{}\"", node.name),
                     "no column that is read: kept out of the answer");
  }
}

}  // namespace

MediaColumns::MediaColumns(const ParquetFile& file, const std::string& column)
    : name(column),
      bytes(file.find(column + ".bytes")),
      path(file.find(column + ".path")),
      leaf(file.find(column)) {
  if (!path) path = file.find(column + ".url");
  if (const auto any = counted()) list = file.columns()[static_cast<std::size_t>(*any)].list;
  text = leaf && file.columns()[static_cast<std::size_t>(*leaf)].text;
  const ParquetNode* node = find_node(file, column);
  if (node != nullptr) present = node->present;
}

TableColumns find_columns(const ParquetFile& file, bool prompt_given, ItemSink& sink) {
  TableColumns columns;
  for (const char* name : {"image", "images", "video"})
    if (auto media = find_media(file, name)) columns.media.push_back(std::move(*media));
  columns.id = find_text(file, "id");
  columns.prompt = find_text(file, "prompt");
  columns.question = find_text(file, "question");
  columns.system = find_text(file, "system");
  columns.messages = find_conversation(file, "messages");
  columns.conversations = find_conversation(file, "conversations");
  check_others(file, columns, prompt_given, sink);
  if (!columns.media.empty() || columns.prompt || columns.question || columns.messages != nullptr ||
      columns.conversations != nullptr)
    return columns;
  std::string there;
  for (const ParquetColumn& column : file.columns())
    there += (there.empty() ? "" : ", ") + column.path;
  throw UsageError(fmt::format(
      "[--input] {}: none of the columns image, images, video, prompt, question, messages, "
      "conversations. There are: {}",
      file.path(), there));
}

}  // namespace retinue::runtime::detail
