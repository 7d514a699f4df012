#include "runtime/formats/parquet/schema.h"

#include <utility>

namespace retinue::runtime {
namespace detail {
namespace {

using Element = SchemaElement;
using Shape = ParquetNode::Shape;

constexpr std::int64_t kRequired = 0, kRepeated = 2;
constexpr int kDeepest = 30;

bool is_list(const Element& node) { return node.logical == 3 || node.converted == 3; }
bool is_map(const Element& node) { return node.logical == 2 || node.converted == 1; }
bool is_text(const Element& node) {
  // STRING, ENUM and JSON, in the newer and the older notation.
  return node.logical == 1 || node.logical == 4 || node.logical == 12 || node.converted == 0 ||
         node.converted == 4 || node.converted == 19;
}

const char* type_name(const Element& node) {
  switch (static_cast<ParquetType>(node.type)) {
    case ParquetType::kBoolean:
      return "bool";
    case ParquetType::kInt32:
      return node.is_unsigned ? "uint32" : "int32";
    case ParquetType::kInt64:
      return node.is_unsigned ? "uint64" : "int64";
    case ParquetType::kInt96:
      return "int96";
    case ParquetType::kFloat:
      return "float";
    case ParquetType::kDouble:
      return "double";
    case ParquetType::kByteArray:
      return is_text(node) ? "string" : "binary";
    case ParquetType::kFixed:
      return "fixed_size_binary";
  }
  return "unknown";
}

/// What an annotation means, where it fits the type that it is on.
ParquetMeaning meaning_of(const Element& node) {
  const auto type = static_cast<ParquetType>(node.type);
  const bool int32 = type == ParquetType::kInt32, int64 = type == ParquetType::kInt64;
  const bool bytes = type == ParquetType::kByteArray, fixed = type == ParquetType::kFixed;
  const auto says = [&](int logical, int converted) {
    return node.logical == logical || (converted >= 0 && node.converted == converted);
  };
  constexpr std::int64_t kMostDigits = 100;
  if (bytes && is_text(node)) return ParquetMeaning::kText;
  if (says(5, 5) && (int32 || int64 || bytes || fixed) && node.scale >= 0 &&
      node.scale <= kMostDigits)
    return ParquetMeaning::kDecimal;
  if (says(6, 6) && int32) return ParquetMeaning::kDate;
  if ((says(7, 7) || says(7, 8)) && (int32 || int64)) return ParquetMeaning::kTime;
  if ((says(8, 9) || says(8, 10)) && int64) return ParquetMeaning::kTimestamp;
  if (says(14, -1) && fixed && node.type_length == 16) return ParquetMeaning::kUuid;
  if (says(15, -1) && fixed && node.type_length == 2) return ParquetMeaning::kFloat16;
  return says(11, -1) ? ParquetMeaning::kNull : ParquetMeaning::kNone;
}

ParquetNode::Value value_of(const ParquetLeaf& leaf) {
  switch (leaf.meaning) {
    case ParquetMeaning::kNull:
      return ParquetNode::Value::kNull;
    case ParquetMeaning::kFloat16:
      return ParquetNode::Value::kNumber;
    case ParquetMeaning::kNone:
      break;
    default:
      return ParquetNode::Value::kText;
  }
  if (leaf.type == ParquetType::kBoolean) return ParquetNode::Value::kBoolean;
  const bool bytes = leaf.type == ParquetType::kByteArray || leaf.type == ParquetType::kFixed ||
                     leaf.type == ParquetType::kInt96;
  return bytes ? ParquetNode::Value::kBinary : ParquetNode::Value::kNumber;
}

/// The digits of a second that a time has.
int digits_of_time(const Element& node) {
  if (node.unit > 0) return 3 * node.unit;
  return node.converted == 8 || node.converted == 10 ? 6 : 3;
}

class SchemaWalk {
 public:
  SchemaWalk(const std::vector<Element>& nodes, ParquetSchema& out) : nodes_(nodes), out_(out) {}

  bool run() {
    if (nodes_.empty()) return false;
    for (std::int64_t child = 0; child < nodes_[0].children; ++child)
      if (!visit({}, true, 0, out_.nodes.emplace_back())) return false;
    return next_ == nodes_.size();
  }

 private:
  struct Levels {
    std::string path;
    int definition = 0, repetition = 0, element = 0;
  };

  static void enter_list(Levels& levels, Shape shape, ParquetNode& out) {
    out.shape = shape;
    out.present = levels.definition;
    out.element = levels.element = ++levels.definition;
    out.repetition = ++levels.repetition;
  }

  ///   named  the node's name is part of the path; names between a list and its elements are not
  bool visit(Levels levels, bool named, int depth, ParquetNode& out) {
    if (next_ >= nodes_.size() || depth > kDeepest) return false;
    const Element& node = nodes_[next_++];
    if (node.repetition < kRequired || node.repetition > kRepeated || node.children < 0)
      return false;
    if (named) levels.path += (levels.path.empty() ? "" : ".") + node.name;
    out.name = node.name;
    out.first_column = out_.columns.size();
    ParquetNode* inner = &out;
    if (node.repetition == kRepeated) {
      enter_list(levels, Shape::kList, out);
      inner = &out.children.emplace_back();
      inner->name = node.name;
      inner->first_column = out.first_column;
    } else if (node.repetition != kRequired) {
      ++levels.definition;
    }
    inner->present = levels.definition;
    const bool good =
        node.children == 0 ? leaf(node, levels, *inner) : group(node, levels, depth, *inner);
    out.end_column = inner->end_column = out_.columns.size();
    return good;
  }

  bool group(const Element& node, const Levels& levels, int depth, ParquetNode& out) {
    const bool wraps =
        node.children == 1 && next_ < nodes_.size() && nodes_[next_].repetition == kRepeated;
    if (wraps && is_list(node)) return list(node, levels, depth, out);
    // A map without values is a list of its keys.
    if (wraps && is_map(node) && nodes_[next_].children == 2) {
      Levels inside = levels;
      inside.path += "." + nodes_[next_].name;
      ++next_;
      enter_list(inside, Shape::kMap, out);
      return visit(inside, true, depth + 2, out.children.emplace_back()) &&
             visit(inside, true, depth + 2, out.children.emplace_back());
    }
    out.shape = Shape::kStruct;
    for (std::int64_t child = 0; child < node.children; ++child)
      if (!visit(levels, true, depth + 1, out.children.emplace_back())) return false;
    return true;
  }

  /// Parquet's three levels of a list: the list, a repeated group, the element. Older writers leave one
  /// out: then the repeated node is the element.
  bool list(const Element& node, Levels levels, int depth, ParquetNode& out) {
    const Element& repeated = nodes_[next_];
    const bool repeats_again =
        next_ + 1 < nodes_.size() && nodes_[next_ + 1].repetition == kRepeated;
    const bool between = repeated.children == 1 && repeated.name != "array" &&
                         repeated.name != node.name + "_tuple" && !repeats_again;
    if (between) {
      ++next_;
      enter_list(levels, Shape::kList, out);
      return visit(levels, false, depth + 2, out.children.emplace_back());
    }
    ParquetNode written;
    if (!visit(levels, false, depth + 1, written)) return false;
    written.name = std::move(out.name);
    out = std::move(written);
    return true;
  }

  bool leaf(const Element& node, const Levels& levels, ParquetNode& out) {
    if (node.type < 0 || node.type > 7) return false;
    ParquetLeaf leaf;
    leaf.type = static_cast<ParquetType>(node.type);
    constexpr int kWidths[] = {0, 4, 8, 12, 4, 8, 0, 0};
    leaf.width_bytes = kWidths[node.type];
    if (leaf.type == ParquetType::kFixed) {
      if (node.type_length < 1 || node.type_length > (1 << 20)) return false;
      leaf.width_bytes = static_cast<int>(node.type_length);
    }
    leaf.meaning = meaning_of(node);
    leaf.is_unsigned = node.is_unsigned;
    leaf.utc = node.utc || (node.logical == 0 && leaf.meaning == ParquetMeaning::kTimestamp);
    leaf.digits = leaf.meaning == ParquetMeaning::kDecimal ? static_cast<int>(node.scale)
                                                           : digits_of_time(node);
    leaf.max_definition = levels.definition;
    leaf.max_repetition = levels.repetition;
    leaf.element_definition = levels.element;
    if (leaf.type == ParquetType::kInt96)
      leaf.refusal = "is of type int96, which is not served. Write it as a timestamp or a string";
    out.value = value_of(leaf);
    out.type = type_name(node);
    out_.columns.push_back({.path = levels.path,
                            .type = type_name(node),
                            .text = is_text(node),
                            .list = levels.repetition > 0,
                            .nested = levels.repetition > 1});
    out_.leaves.push_back(std::move(leaf));
    return true;
  }

  const std::vector<Element>& nodes_;
  ParquetSchema& out_;
  std::size_t next_ = 1;  // after the root
};

}  // namespace

bool read_schema(const std::vector<SchemaElement>& elements, ParquetSchema& out) {
  return SchemaWalk(elements, out).run();
}

}  // namespace detail

std::string type_of(const ParquetNode& node) {
  constexpr std::size_t kLongest = 300;
  std::string text;
  switch (node.shape) {
    case ParquetNode::Shape::kLeaf:
      return node.value == ParquetNode::Value::kNull ? "null" : node.type;
    case ParquetNode::Shape::kList:
      text = "list<" + type_of(node.children[0]) + ">";
      break;
    case ParquetNode::Shape::kMap:
      text = "map<" + type_of(node.children[0]) + ", " + type_of(node.children[1]) + ">";
      break;
    case ParquetNode::Shape::kStruct:
      text = "struct<";
      for (std::size_t i = 0; i < node.children.size() && text.size() < kLongest; ++i)
        text += (i == 0 ? "" : ", ") + node.children[i].name + ": " + type_of(node.children[i]);
      text += ">";
  }
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "…";
}

}  // namespace retinue::runtime
