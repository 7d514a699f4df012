#include "runtime/formats/parquet/metadata.h"

#include "runtime/formats/parquet/thrift_compact.h"

#include <fmt/format.h>

#include <limits>
#include <optional>
#include <string_view>

namespace retinue::runtime::detail {
namespace {

constexpr auto kRoot = ThriftType::kStruct;

/// One node of the schema, which is written as a tree, depth first.
struct Node {
  std::int64_t type = -1;  ///< -1 for a group
  std::int64_t type_length = 0;
  std::int64_t repetition = 0;  ///< 0 required, 1 optional, 2 repeated
  std::string name;
  std::int64_t children = 0;
  std::int64_t converted = -1;
  int logical = 0;  ///< the field of the union LogicalType; 0: none
  bool is_unsigned = false;
};

constexpr std::int64_t kRequired = 0, kOptional = 1, kRepeated = 2;

bool is_list(const Node& node) { return node.logical == 3 || node.converted == 3; }
bool is_text(const Node& node) {
  // STRING, ENUM and JSON, in the newer and the older notation.
  return node.logical == 1 || node.logical == 4 || node.logical == 12 || node.converted == 0 ||
         node.converted == 4 || node.converted == 19;
}

DataError error(std::string message) { return {"read", std::move(message)}; }

Node read_node(ThriftReader& in, ThriftType type) {
  Node node;
  in.fields(type, [&](int id, ThriftType field) {
    switch (id) {
      case 1:
        node.type = in.integer(field);
        break;
      case 2:
        node.type_length = in.integer(field);
        break;
      case 3:
        node.repetition = in.integer(field);
        break;
      case 4:
        node.name = in.binary(field);
        break;
      case 5:
        node.children = in.integer(field);
        break;
      case 6:
        node.converted = in.integer(field);
        break;
      case 10:
        in.fields(field, [&](int kind, ThriftType value) {
          node.logical = kind;
          if (kind != 10) return in.skip(value);
          in.fields(value, [&](int part, ThriftType inner) {  // INTEGER: bits, signed or not
            if (part == 2)
              node.is_unsigned = !in.boolean(inner);
            else
              in.skip(inner);
          });
        });
        break;
      default:
        in.skip(field);
    }
  });
  if (node.converted >= 11 && node.converted <= 14) node.is_unsigned = true;
  return node;
}

const char* type_name(const Node& node) {
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

/// Turns the nodes of a schema into leaves.
class SchemaWalk {
 public:
  SchemaWalk(const std::vector<Node>& nodes, ParquetMetadata& out) : nodes_(nodes), out_(out) {}

  /// False where nodes are missing, too deep or left over.
  bool run() {
    if (nodes_.empty()) return false;
    for (std::int64_t child = 0; child < nodes_[0].children; ++child)
      if (!visit({}, true, 0)) return false;
    return next_ == nodes_.size();
  }

 private:
  struct Levels {
    std::string path;
    int definition = 0, repetition = 0, element = 0;
  };

  ///   named  the node's name is part of the path; names between a list and its elements are not
  bool visit(Levels levels, bool named, int depth) {
    if (next_ >= nodes_.size() || depth > 30) return false;
    const Node& node = nodes_[next_++];
    if (node.repetition < kRequired || node.repetition > kRepeated || node.children < 0)
      return false;
    if (named) levels.path += (levels.path.empty() ? "" : ".") + node.name;
    if (node.repetition != kRequired) ++levels.definition;
    if (node.repetition == kRepeated) {
      ++levels.repetition;
      levels.element = levels.definition;
    }
    if (node.children == 0) return leaf(node, levels);
    // Parquet's three levels of a list: the list, a repeated group, the element. Older writers
    // leave one out: then the repeated node is the element.
    const bool list = is_list(node) && node.children == 1 && next_ < nodes_.size() &&
                      nodes_[next_].repetition == kRepeated;
    if (!list) {
      for (std::int64_t child = 0; child < node.children; ++child)
        if (!visit(levels, true, depth + 1)) return false;
      return true;
    }
    const Node& repeated = nodes_[next_];
    const bool between =
        repeated.children == 1 && repeated.name != "array" && repeated.name != node.name + "_tuple";
    if (!between) return visit(levels, false, depth + 1);
    ++next_;
    ++levels.definition;
    ++levels.repetition;
    levels.element = levels.definition;
    return visit(levels, false, depth + 2);
  }

  bool leaf(const Node& node, const Levels& levels) {
    if (node.type < 0 || node.type > 7) return false;
    ParquetLeaf leaf;
    leaf.type = static_cast<ParquetType>(node.type);
    constexpr int kWidths[] = {0, 4, 8, 12, 4, 8, 0, 0};
    leaf.width_bytes = kWidths[node.type];
    if (leaf.type == ParquetType::kFixed) {
      if (node.type_length < 1 || node.type_length > (1 << 20)) return false;
      leaf.width_bytes = static_cast<int>(node.type_length);
    }
    leaf.is_unsigned = node.is_unsigned;
    leaf.max_definition = levels.definition;
    leaf.max_repetition = levels.repetition;
    leaf.element_definition = levels.element;
    if (leaf.type == ParquetType::kInt96)
      leaf.refusal = "is of type int96, which is not served. Write it as a timestamp or a string";
    if (levels.repetition > 1)
      leaf.refusal = "is a list in a list, which is not served. Write one level of list";
    out_.columns.push_back({levels.path, type_name(node), is_text(node), levels.repetition > 0});
    out_.leaves.push_back(std::move(leaf));
    return true;
  }

  const std::vector<Node>& nodes_;
  ParquetMetadata& out_;
  std::size_t next_ = 1;  // after the root
};

struct WrittenChunk {
  ParquetChunk chunk;
  std::int64_t type = -1, data_offset = -1, dictionary_offset = 0, bytes = -1;
};

WrittenChunk read_chunk(ThriftReader& in, ThriftType type) {
  WrittenChunk out;
  in.fields(type, [&](int id, ThriftType field) {
    if (id == 1)
      out.chunk.elsewhere |= !in.binary(field).empty();
    else if (id == 3)
      in.fields(field, [&](int part, ThriftType value) {
        switch (part) {
          case 1:
            out.type = in.integer(value);
            break;
          case 4:
            out.chunk.codec = static_cast<int>(in.integer(value));
            break;
          case 5:
            out.chunk.values = in.integer(value);
            break;
          case 7:
            out.bytes = in.integer(value);
            break;
          case 9:
            out.data_offset = in.integer(value);
            break;
          case 11:
            out.dictionary_offset = in.integer(value);
            break;
          default:
            in.skip(value);
        }
      });
    else {
      out.chunk.elsewhere |= id == 8 || id == 9;  // encrypted
      in.skip(field);
    }
  });
  return out;
}

/// The fields of a footer, not checked against each other.
struct WrittenFooter {
  struct Group {
    std::int64_t rows = -1;
    std::vector<WrittenChunk> chunks;
  };
  std::vector<Node> nodes;
  std::vector<Group> groups;
  std::int64_t rows = -1;
  bool encrypted = false;
};

WrittenFooter read_footer(ThriftReader& in) {
  WrittenFooter out;
  in.fields(kRoot, [&](int id, ThriftType field) {
    if (id == 2)
      in.elements(field, [&](ThriftType each) { out.nodes.push_back(read_node(in, each)); });
    else if (id == 3)
      out.rows = in.integer(field);
    else if (id == 4)
      in.elements(field, [&](ThriftType each) {
        WrittenFooter::Group& group = out.groups.emplace_back();
        in.fields(each, [&](int part, ThriftType value) {
          if (part == 1)
            in.elements(value,
                        [&](ThriftType chunk) { group.chunks.push_back(read_chunk(in, chunk)); });
          else if (part == 3)
            group.rows = in.integer(value);
          else
            in.skip(value);
        });
      });
    else {
      out.encrypted = out.encrypted || id == 8;
      in.skip(field);
    }
  });
  return out;
}

/// The range of a chunk's pages; nothing where it fits neither its column nor the file.
std::optional<ParquetChunk> place_chunk(const WrittenChunk& from, const ParquetLeaf& leaf,
                                        std::int64_t rows, std::int64_t data_end) {
  ParquetChunk chunk = from.chunk;
  const bool dictionary_first =
      from.dictionary_offset > 0 && from.dictionary_offset < from.data_offset;
  chunk.begin = dictionary_first ? from.dictionary_offset : from.data_offset;
  // Writers put any offset where they wrote no page.
  const bool fits = chunk.values == 0 || (chunk.begin >= 4 && chunk.begin <= data_end &&
                                          from.bytes >= 0 && from.bytes <= data_end - chunk.begin);
  const bool typed = from.type == static_cast<std::int64_t>(leaf.type);
  const bool counted = leaf.max_repetition > 0 ? chunk.values >= rows : chunk.values == rows;
  if (!chunk.elsewhere && (!fits || !typed || !counted)) return std::nullopt;
  const bool has_pages = chunk.values > 0 && !chunk.elsewhere;
  chunk.begin = has_pages ? chunk.begin : 0;
  chunk.end = has_pages ? chunk.begin + from.bytes : 0;
  return chunk;
}

/// Reads what a page header says of its kind of page. The three kinds number their fields
/// differently.
void read_page_facts(ThriftReader& in, ThriftType type, PageKind kind, PageHeader& header) {
  const bool v1 = kind == PageKind::kData, v2 = kind == PageKind::kDataV2;
  in.fields(type, [&](int id, ThriftType value) {
    if (id == 1)
      header.values = in.integer(value);
    else if (id == (v2 ? 4 : 2))
      header.encoding = static_cast<int>(in.integer(value));
    else if (v1 && id == 3)
      header.definition_encoding = static_cast<int>(in.integer(value));
    else if (v1 && id == 4)
      header.repetition_encoding = static_cast<int>(in.integer(value));
    else if (v2 && id == 3)
      header.rows = in.integer(value);
    else if (v2 && id == 5)
      header.definition_bytes = in.integer(value);
    else if (v2 && id == 6)
      header.repetition_bytes = in.integer(value);
    else if (v2 && id == 7)
      header.packed = in.boolean(value);
    else
      in.skip(value);
  });
}

}  // namespace

Result<ParquetMetadata> parse_footer(std::span<const std::byte> footer, std::int64_t data_end) {
  ThriftReader in(footer);
  const WrittenFooter written = read_footer(in);
  if (in.failed()) return error("its footer is damaged");
  if (written.encrypted)
    return error("it is encrypted, which is not served. Write it without encryption");
  ParquetMetadata out;
  out.rows = written.rows;
  if (!SchemaWalk(written.nodes, out).run() || out.columns.empty())
    return error("the schema in its footer is damaged");
  std::int64_t rows = 0;
  for (std::size_t g = 0; g < written.groups.size(); ++g) {
    const WrittenFooter::Group& from = written.groups[g];
    if (from.rows < 0 || from.rows > std::numeric_limits<std::int64_t>::max() - rows ||
        from.chunks.size() != out.columns.size())
      return error(fmt::format("row group {} in its footer is damaged", g));
    ParquetRowGroup group{.first_row = rows, .rows = from.rows, .chunks = {}};
    rows += from.rows;
    for (std::size_t c = 0; c < from.chunks.size(); ++c) {
      const auto chunk = place_chunk(from.chunks[c], out.leaves[c], from.rows, data_end);
      if (!chunk)
        return error(
            fmt::format("column {} of row group {} does not fit the file: its footer is "
                        "damaged, or the file is cut short",
                        out.columns[c].path, g));
      group.chunks.push_back(*chunk);
    }
    out.groups.push_back(std::move(group));
  }
  if (rows != out.rows)
    return error(
        fmt::format("its footer is damaged: {} rows, and {} in its row groups", out.rows, rows));
  return out;
}

HeaderState parse_page_header(std::span<const std::byte> bytes, PageHeader& header,
                              std::size_t& header_bytes) {
  ThriftReader in(bytes);
  header = {};
  std::int64_t kind = -1;
  bool described = false;
  header.stored_bytes = header.unpacked_bytes = header.values = -1;
  in.fields(kRoot, [&](int id, ThriftType field) {
    if (id == 1) {
      kind = in.integer(field);
    } else if (id == 2) {
      header.unpacked_bytes = in.integer(field);
    } else if (id == 3) {
      header.stored_bytes = in.integer(field);
    } else if (id == 4) {
      header.crc = static_cast<std::uint32_t>(in.integer(field));
    } else if (id == 5 || id == 7 || id == 8) {
      const PageKind of = id == 5   ? PageKind::kData
                          : id == 7 ? PageKind::kDictionary
                                    : PageKind::kDataV2;
      described = described || kind == static_cast<std::int64_t>(of);
      read_page_facts(in, field, of, header);
    } else {
      in.skip(field);
    }
  });
  header_bytes = in.position();
  if (in.failed()) return in.ran_out() ? HeaderState::kNeedsMore : HeaderState::kDamaged;
  if (kind == static_cast<std::int64_t>(PageKind::kIndex)) {
    described = true;
    header.values = 0;
  }
  header.kind = static_cast<PageKind>(kind);
  // Sizes are 32-bit numbers in the format, so no valid page is larger.
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  const auto sane = [](std::int64_t size) { return size >= 0 && size <= kMost; };
  const bool v2 = header.kind == PageKind::kDataV2;
  const bool good = described && sane(header.stored_bytes) && sane(header.unpacked_bytes) &&
                    sane(header.values) && (!v2 || sane(header.rows)) &&
                    sane(header.definition_bytes) && sane(header.repetition_bytes);
  return good ? HeaderState::kWhole : HeaderState::kDamaged;
}

}  // namespace retinue::runtime::detail
