#pragma once

#include "runtime/formats/atomic_file.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace retinue::runtime {

enum class ParquetKind { kText, kBinary, kInt64, kInt32List, kFloatList };

struct ParquetField {
  std::string name;
  ParquetKind kind = ParquetKind::kText;
};

/// One cell; monostate: absent. It is read before add() returns.
using ParquetValue = std::variant<std::monostate, std::string_view, std::int64_t,
                                  std::span<const std::int32_t>, std::span<const float>>;

/// Writes a Parquet file row by row: plain encoding, uncompressed, data pages v1, no statistics.
/// parquet.thrift 2.11. Every field may be absent, lists too; elements of lists are there. The same
/// rows give the same bytes. Memory: one row group.
class ParquetWriter {
 public:
  /// Throws: SystemError, as the others, when the disk refuses.
  ParquetWriter(const std::string& path, std::vector<ParquetField> fields);
  /// Without commit() nothing remains.
  ~ParquetWriter();
  ParquetWriter(const ParquetWriter&) = delete;
  ParquetWriter& operator=(const ParquetWriter&) = delete;

  /// As many values as fields, each of its field's kind or absent, or BugError.
  void add(std::span<const ParquetValue> row);
  void commit();

 private:
  struct Column;
  struct Group;
  void close_page(Column& column);
  void close_group();
  [[nodiscard]] std::string footer() const;

  AtomicFile file_;
  std::vector<Column> columns_;
  std::vector<Group> groups_;
  std::int64_t written_bytes_ = 0, group_rows_ = 0;
};

}  // namespace retinue::runtime
