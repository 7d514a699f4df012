#include "runtime/formats/parquet/metadata.h"

#include "runtime/formats/parquet/reader.h"
#include "runtime/formats/parquet/thrift_compact.h"

#include <fmt/format.h>

#include <limits>
#include <optional>
#include <string_view>

namespace retinue::runtime::detail {
namespace {

constexpr auto kRoot = ThriftType::kStruct;

DataError error(std::string message) { return {"read", std::move(message)}; }

/// What a LogicalType says beside its kind.
void read_logical(ThriftReader& in, int kind, ThriftType type, SchemaElement& node) {
  node.logical = kind;
  const bool decimal = kind == 5, time = kind == 7 || kind == 8, integer = kind == 10;
  if (!decimal && !time && !integer) return in.skip(type);
  in.fields(type, [&](int part, ThriftType value) {
    if (decimal && part == 1)
      node.scale = in.integer(value);
    else if (time && part == 1)
      node.utc = in.boolean(value);
    else if (integer && part == 2)
      node.is_unsigned = !in.boolean(value);
    else if (time && part == 2)
      in.fields(value, [&](int unit, ThriftType inner) {
        node.unit = unit >= 1 && unit <= 3 ? unit : 0;
        in.skip(inner);
      });
    else
      in.skip(value);
  });
}

SchemaElement read_element(ThriftReader& in, ThriftType type) {
  SchemaElement node;
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
      case 7:
        node.scale = in.integer(field);
        break;
      case 10:
        in.fields(field, [&](int kind, ThriftType value) { read_logical(in, kind, value, node); });
        break;
      default:
        in.skip(field);
    }
  });
  if (node.converted >= 11 && node.converted <= 14) node.is_unsigned = true;
  return node;
}

/// Lists of encodings hold those of levels, too, and BIT_PACKED where there are none.
bool is_known_encoding(std::int64_t encoding) {
  return encoding == kPlain || (encoding >= kPlainDictionary && encoding <= kRleDictionary);
}

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
          case 2:
            in.elements(value, [&](ThriftType each) {
              const std::int64_t encoding = in.integer(each);
              if (!is_known_encoding(encoding)) out.chunk.unknown_encoding = encoding;
            });
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
  std::vector<SchemaElement> nodes;
  std::vector<Group> groups;
  std::int64_t rows = -1;
  bool encrypted = false;
};

WrittenFooter read_footer(ThriftReader& in) {
  WrittenFooter out;
  in.fields(kRoot, [&](int id, ThriftType field) {
    if (id == 2)
      in.elements(field, [&](ThriftType each) { out.nodes.push_back(read_element(in, each)); });
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
    return DataError{kUnsupportedParquet,
                     "it is encrypted, which is not served. Write it without encryption"};
  ParquetMetadata out;
  out.rows = written.rows;
  if (!read_schema(written.nodes, out) || out.columns.empty())
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
