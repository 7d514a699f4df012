#include "runtime/formats/parquet/writer.h"

#include "parallel/base/check.h"
#include "runtime/formats/parquet/thrift_compact.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace retinue::runtime {
namespace {

// Small, so that a reader of one cell unpacks little; large enough that headers cost nothing.
constexpr std::size_t kPageBytes = 1 << 20;
constexpr std::size_t kPageEntries = 20000;
constexpr std::int64_t kGroupBytes = 64 << 20;
constexpr std::int64_t kGroupRows = 100000;

// Numbers of parquet.thrift.
constexpr int kInt32 = 1, kInt64 = 2, kFloat = 4, kByteArray = 6;
constexpr int kOptional = 1, kRepeated = 2, kRequired = 0;
constexpr int kPlain = 0, kRle = 3;

using detail::ThriftType;
using detail::ThriftWriter;

template <class T>
void append_little(std::string& out, T value) {
  static_assert(std::endian::native == std::endian::little);
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

/// Appends levels: a length, then one run where all levels are equal, else one bit-packed run.
void append_levels(std::string& out, const std::vector<std::uint8_t>& levels, int width) {
  std::string run;
  const auto head = [&](std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) run.push_back(static_cast<char>((value & 0x7F) | 0x80));
    run.push_back(static_cast<char>(value));
  };
  if (std::ranges::all_of(levels, [&](std::uint8_t level) { return level == levels.front(); })) {
    head(levels.size() << 1);
    run.push_back(static_cast<char>(levels.front()));
  } else {
    const std::size_t groups = (levels.size() + 7) / 8;
    head(groups << 1 | 1);
    const std::size_t start = run.size();
    run.resize(start + groups * static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const std::size_t bit = i * static_cast<std::size_t>(width);
      // Widths are 1 and 2, so no level spans two bytes.
      char& byte = run[start + bit / 8];
      byte = static_cast<char>(byte | levels[i] << bit % 8);
    }
  }
  append_little(out, static_cast<std::uint32_t>(run.size()));
  out += run;
}

bool is_list(ParquetKind kind) {
  return kind == ParquetKind::kInt32List || kind == ParquetKind::kFloatList;
}

int type_of(ParquetKind kind) {
  switch (kind) {
    case ParquetKind::kText:
    case ParquetKind::kBinary:
      return kByteArray;
    case ParquetKind::kInt64:
      return kInt64;
    case ParquetKind::kInt32List:
      return kInt32;
    case ParquetKind::kFloatList:
      return kFloat;
  }
  return kByteArray;
}

/// Where the pages of a column of one row group lie.
struct Chunk {
  std::int64_t offset = 0, bytes = 0, entries = 0;
};

/// The nodes of one field: one, or a list's three.
void write_schema(ThriftWriter& out, const ParquetField& field) {
  constexpr int kUtf8 = 0, kListOf = 3;              // ConvertedType
  constexpr int kLogicalText = 1, kLogicalList = 3;  // fields of the union LogicalType
  const bool list = is_list(field.kind);
  out.begin_element();
  if (!list) out.i32(1, type_of(field.kind));
  out.i32(3, kOptional);
  out.binary(4, field.name);
  if (list) out.i32(5, 1);  // children
  if (list || field.kind == ParquetKind::kText) {
    out.i32(6, list ? kListOf : kUtf8);
    out.begin(10);
    out.begin(list ? kLogicalList : kLogicalText);
    out.end();
    out.end();
  }
  out.end();
  if (!list) return;
  out.begin_element();
  out.i32(3, kRepeated);
  out.binary(4, "list");
  out.i32(5, 1);
  out.end();
  out.begin_element();
  out.i32(1, type_of(field.kind));
  out.i32(3, kRequired);
  out.binary(4, "element");
  out.end();
}

void write_chunk(ThriftWriter& out, const ParquetField& field, const Chunk& chunk) {
  out.begin_element();
  out.i64(2, 0);  // file_offset: no longer used, still required
  out.begin(3);
  out.i32(1, type_of(field.kind));
  out.list(2, ThriftType::kI32, 2);
  out.element_integer(kPlain);
  out.element_integer(kRle);
  const bool list = is_list(field.kind);
  out.list(3, ThriftType::kBinary, list ? 3 : 1);
  out.element_binary(field.name);
  if (list) {
    out.element_binary("list");
    out.element_binary("element");
  }
  out.i32(4, 0);  // uncompressed
  out.i64(5, chunk.entries);
  out.i64(6, chunk.bytes);  // unpacked
  out.i64(7, chunk.bytes);  // stored
  out.i64(9, chunk.offset);
  out.end();
  out.end();
}

}  // namespace

/// A column of the row group that is being filled.
struct ParquetWriter::Column {
  ParquetField field;
  std::string page;  ///< values
  /// Levels as in Dremel. In a list: 0 absent, 1 empty, 2 an element; else: 0 absent, 1 present.
  std::vector<std::uint8_t> definition, repetition;
  std::string pages;  ///< the closed pages
  std::int64_t entries = 0;
};

struct ParquetWriter::Group {
  std::int64_t rows = 0, bytes = 0;
  std::vector<Chunk> chunks;
};

ParquetWriter::ParquetWriter(const std::string& path, std::vector<ParquetField> fields)
    : file_(path) {
  for (ParquetField& field : fields)
    columns_.push_back({.field = std::move(field),
                        .page = {},
                        .definition = {},
                        .repetition = {},
                        .pages = {},
                        .entries = 0});
  file_.write("PAR1");
  written_bytes_ = 4;
}

ParquetWriter::~ParquetWriter() = default;

void ParquetWriter::add(std::span<const ParquetValue> row) {
  check(row.size() == columns_.size(), "a value for every field");
  for (std::size_t i = 0; i < row.size(); ++i) {
    Column& column = columns_[i];
    const ParquetValue& value = row[i];
    const auto entry = [&](int definition, bool begins_row) {
      column.definition.push_back(static_cast<std::uint8_t>(definition));
      if (is_list(column.field.kind)) column.repetition.push_back(begins_row ? 0 : 1);
    };
    const auto elements = [&](const auto& list) {
      if (list.empty()) entry(1, true);
      for (std::size_t k = 0; k < list.size(); ++k) {
        entry(2, k == 0);
        append_little(column.page, list[k]);
      }
    };
    if (std::holds_alternative<std::monostate>(value)) {
      entry(0, true);
    } else if (const auto* bytes = std::get_if<std::string_view>(&value)) {
      check(type_of(column.field.kind) == kByteArray, "a text for a field of texts");
      entry(1, true);
      append_little(column.page, static_cast<std::uint32_t>(bytes->size()));
      column.page += *bytes;
    } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
      check(column.field.kind == ParquetKind::kInt64, "a number for a field of numbers");
      entry(1, true);
      append_little(column.page, *number);
    } else if (const auto* whole = std::get_if<std::span<const std::int32_t>>(&value)) {
      check(column.field.kind == ParquetKind::kInt32List, "a list of integers for a field of them");
      elements(*whole);
    } else {
      check(column.field.kind == ParquetKind::kFloatList, "a list of floats for a field of them");
      elements(std::get<std::span<const float>>(value));
    }
    if (column.page.size() >= kPageBytes || column.definition.size() >= kPageEntries)
      close_page(column);
  }
  ++group_rows_;
  std::int64_t bytes = 0;
  for (const Column& column : columns_)
    bytes += static_cast<std::int64_t>(column.page.size() + column.pages.size());
  if (bytes >= kGroupBytes || group_rows_ >= kGroupRows) close_group();
}

void ParquetWriter::close_page(Column& column) {
  if (column.definition.empty()) return;
  const bool list = is_list(column.field.kind);
  std::string levels;
  if (list) append_levels(levels, column.repetition, 1);
  append_levels(levels, column.definition, list ? 2 : 1);
  const auto bytes = static_cast<std::int32_t>(levels.size() + column.page.size());
  ThriftWriter header;
  header.i32(1, 0);      // a data page
  header.i32(2, bytes);  // unpacked
  header.i32(3, bytes);  // stored
  header.begin(5);
  header.i32(1, static_cast<std::int32_t>(column.definition.size()));
  header.i32(2, kPlain);
  header.i32(3, kRle);
  header.i32(4, kRle);
  header.end();
  column.pages += header.finish() + levels + column.page;
  column.entries += static_cast<std::int64_t>(column.definition.size());
  column.page.clear();
  column.definition.clear();
  column.repetition.clear();
}

void ParquetWriter::close_group() {
  if (group_rows_ == 0) return;
  Group group{.rows = group_rows_, .bytes = 0, .chunks = {}};
  for (Column& column : columns_) {
    close_page(column);
    const auto bytes = static_cast<std::int64_t>(column.pages.size());
    group.chunks.push_back({.offset = written_bytes_, .bytes = bytes, .entries = column.entries});
    file_.write(column.pages);
    written_bytes_ += bytes;
    group.bytes += bytes;
    column.pages.clear();
    column.entries = 0;
  }
  groups_.push_back(std::move(group));
  group_rows_ = 0;
}

std::string ParquetWriter::footer() const {
  ThriftWriter out;
  std::size_t nodes = 1;
  std::int64_t rows = 0;
  for (const Column& column : columns_) nodes += is_list(column.field.kind) ? 3 : 1;
  for (const Group& group : groups_) rows += group.rows;
  out.i32(1, 1);  // version
  out.list(2, ThriftType::kStruct, nodes);
  out.begin_element();
  out.binary(4, "schema");
  out.i32(5, static_cast<std::int32_t>(columns_.size()));
  out.end();
  for (const Column& column : columns_) write_schema(out, column.field);
  out.i64(3, rows);
  out.list(4, ThriftType::kStruct, groups_.size());
  for (const Group& group : groups_) {
    out.begin_element();
    out.list(1, ThriftType::kStruct, columns_.size());
    for (std::size_t i = 0; i < columns_.size(); ++i)
      write_chunk(out, columns_[i].field, group.chunks[i]);
    out.i64(2, group.bytes);
    out.i64(3, group.rows);
    out.end();
  }
  out.binary(6, "retinue");
  return out.finish();
}

void ParquetWriter::commit() {
  close_group();
  std::string end = footer();
  append_little(end, static_cast<std::uint32_t>(end.size()));
  end += "PAR1";
  file_.write(end);
  file_.commit();
}

}  // namespace retinue::runtime
