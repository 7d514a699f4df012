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

/// One cell; monostate where it is absent. Borrowed until add() returns.
using ParquetValue = std::variant<std::monostate, std::string_view, std::int64_t,
                                  std::span<const std::int32_t>, std::span<const float>>;

/// Writes a Parquet file row by row: plain encoding, uncompressed, data pages v1, no statistics.
/// parquet.thrift 2.11. Every field may be absent, a list too, but no element of a list. The same
/// rows give the same bytes. Memory: one row group.
class ParquetWriter {
 public:
  /// Throws: SystemError, as the others, when the disk refuses.
  ParquetWriter(const std::string& path, std::vector<ParquetField> fields);
  /// Removes what was written, unless commit() was called.
  ~ParquetWriter();
  ParquetWriter(const ParquetWriter&) = delete;
  ParquetWriter& operator=(const ParquetWriter&) = delete;

  /// Adds a row: one value per field, of the field's kind or absent; else BugError.
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
