#include "runtime/formats/parquet/nested.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <utility>

namespace retinue::runtime {

using Json = nlohmann::ordered_json;

/// The entries of one leaf in the row at hand.
struct ParquetJson::Leaf {
  ParquetCursor cursor;
  std::string path;
  std::vector<ParquetEntry> entries;
  std::size_t next = 0;
};

namespace {

/// Builds the value of a row from the entries of its leaves. A file may be damaged: leaves that share
/// a list or a struct must agree about it, and each must end with the row.
template <class Leaf>
class Assembly {
 public:
  Assembly(std::span<Leaf> leaves, std::size_t first_column, std::int64_t bytes_left)
      : leaves_(leaves), first_column_(first_column), bytes_left_(bytes_left) {}

  /// What is wrong; empty: nothing so far.
  [[nodiscard]] const std::string& fault() const { return fault_; }

  Json row(const ParquetNode& column) {
    Json json = value(column);
    for (const Leaf& leaf : leaves_)
      if (leaf.next != leaf.entries.size()) fail("one of its lists goes on behind the row");
    return json;
  }

 private:
  using Shape = ParquetNode::Shape;

  void fail(const char* what) {
    if (fault_.empty()) fault_ = what;
  }
  std::span<Leaf> below(const ParquetNode& node) {
    return leaves_.subspan(node.first_column - first_column_, node.end_column - node.first_column);
  }

  /// Whether the value that comes next is defined to a level: the same for each leaf, or damage.
  bool reaches(const ParquetNode& node, int level) {
    int yes = 0, no = 0;
    for (const Leaf& leaf : below(node)) {
      if (leaf.next >= leaf.entries.size()) return fail("a leaf ends before its row"), false;
      ++(leaf.entries[leaf.next].definition >= level ? yes : no);
    }
    if (yes > 0 && no > 0) fail("its leaves disagree about what is absent");
    return yes > 0 && no == 0;
  }

  /// Whether a list has a further element.
  bool goes_on(const ParquetNode& node) {
    int yes = 0, no = 0;
    for (const Leaf& leaf : below(node)) {
      const int level = leaf.next < leaf.entries.size() ? leaf.entries[leaf.next].repetition : 0;
      if (level > node.repetition) fail("a repetition level fits no list");
      ++(level == node.repetition ? yes : no);
    }
    if (yes > 0 && no > 0) fail("its leaves disagree about the length of a list");
    return yes > 0 && no == 0;
  }

  /// An absent value and an empty list take one entry of each leaf below.
  Json skip(const ParquetNode& node, Json instead) {
    for (Leaf& leaf : below(node)) ++leaf.next;
    return instead;
  }

  Json value(const ParquetNode& node) {
    // `present` and `element` are 0 for what can never be absent.
    if (!reaches(node, node.present)) return fault_.empty() ? skip(node, nullptr) : Json();
    switch (node.shape) {
      case Shape::kLeaf:
        return leaf_value(node);
      case Shape::kStruct:
        return fields(node);
      case Shape::kList:
      case Shape::kMap:
        break;
    }
    const bool map = node.shape == Shape::kMap;
    Json json = map ? Json::object() : Json::array();
    if (!reaches(node, node.element)) return fault_.empty() ? skip(node, std::move(json)) : Json();
    do {
      if (!map) {
        json.push_back(value(node.children[0]));
        continue;
      }
      const Json key = value(node.children[0]);
      json[key.is_string() ? key.get<std::string>() : key.dump()] = value(node.children[1]);
    } while (fault_.empty() && goes_on(node));
    return json;
  }

  Json fields(const ParquetNode& node) {
    Json json = Json::object();
    for (const ParquetNode& field : node.children) {
      if (!fault_.empty()) break;
      // A long name is once in the schema, and once per element here.
      bytes_left_ -= static_cast<std::int64_t>(field.name.size() + sizeof(Json));
      if (bytes_left_ < 0) fail("the row is too large");
      json[field.name] = value(field);
    }
    return json;
  }

  Json leaf_value(const ParquetNode& node) {
    Leaf& leaf = below(node).front();
    const std::size_t number = leaf.next++;
    const std::string& text = leaf.entries[number].text;
    switch (node.value) {
      case ParquetNode::Value::kNull:
        return nullptr;
      case ParquetNode::Value::kText:
        return text;
      case ParquetNode::Value::kBoolean:
        return text == "true";
      case ParquetNode::Value::kNumber: {
        Json parsed = Json::parse(text, nullptr, false);
        if (!parsed.is_discarded()) return parsed;
        return text.ends_with("nan") ? Json() : Json(text);
      }
      case ParquetNode::Value::kBinary:
        break;
    }
    return Json::binary({leaf.path.begin(), leaf.path.end()}, number);
  }

  std::span<Leaf> leaves_;
  std::size_t first_column_;
  std::int64_t bytes_left_;
  std::string fault_;
};

}  // namespace

ParquetJson::ParquetJson(std::shared_ptr<const ParquetFile> file, const ParquetNode& column)
    : file_(std::move(file)), column_(&column) {
  for (std::size_t i = column.first_column; i < column.end_column; ++i)
    leaves_.push_back({ParquetCursor(file_, static_cast<int>(i)), file_->columns()[i].path, {}, 0});
}
ParquetJson::~ParquetJson() = default;
ParquetJson::ParquetJson(ParquetJson&&) noexcept = default;

Result<Json> ParquetJson::value(std::int64_t row) {
  std::int64_t bytes_left = kMostRowBytes;
  for (Leaf& leaf : leaves_) {
    leaf.next = 0;
    if (auto read = leaf.cursor.entries(row, bytes_left, leaf.entries); !read.ok())
      return read.error();
  }
  Assembly<Leaf> assembly(leaves_, column_->first_column, bytes_left);
  Json json = assembly.row(*column_);
  if (assembly.fault().empty()) return json;
  return DataError{"read", fmt::format("{}: column {}, row {} is damaged: {}", file_->path(),
                                       column_->name, row, assembly.fault())};
}

}  // namespace retinue::runtime
