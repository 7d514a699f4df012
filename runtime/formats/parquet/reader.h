#pragma once

#include "parallel/base/result.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// One column of a Parquet file: a leaf of its schema.
struct ParquetColumn {
  /// Names from the top, joined by dots: "id", "image.bytes". The levels that Parquet puts between
  /// a list and its elements are left out: "images.bytes" for list<struct<bytes, path>>.
  std::string path;
  std::string type;   ///< "string", "binary", "int64", …: for messages
  bool text = false;  ///< marked as UTF-8 by its writer; not verified
  bool list = false;  ///< a cell holds any number of values
};

/// What stands in one row of one column.
struct ParquetCell {
  bool null = false;  ///< the value, or a struct or list around it, is absent
  /// One for a column that is no list, none where the cell is null. Strings, binary and fixed-size
  /// values as their bytes, numbers as decimal text, booleans as "true" and "false"; times, dates
  /// and decimals as the whole number or bytes that are stored. An element of a list may be absent.
  std::vector<std::optional<std::string>> values;
};

struct ParquetOptions {
  /// Decoded pages that are kept, the longest unused leaving first. One larger page is kept alone.
  std::int64_t cache_bytes = std::int64_t{256} << 20;
  /// A page that says it needs more is refused, so that a damaged file takes no memory.
  std::int64_t max_page_bytes = std::int64_t{1} << 30;
};

/// Cells of a Parquet file, in any order, from any number of threads.   parquet.thrift 2.11
/// Served: plain, dictionary, RLE and delta encodings; data pages v1 and v2; uncompressed, snappy,
/// gzip and zstd; absent values; structs in structs; one level of list. Other columns of a file
/// may be anything: only who asks for them is refused.
class ParquetFile {
 public:
  /// Reads the footer, no data.   Errors: stage "read", naming the file: missing, no Parquet,
  /// encrypted, cut short, damaged.
  static Result<std::shared_ptr<const ParquetFile>> open(const std::string& path,
                                                         const ParquetOptions& options = {});
  ~ParquetFile();
  ParquetFile(const ParquetFile&) = delete;
  ParquetFile& operator=(const ParquetFile&) = delete;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] const std::vector<ParquetColumn>& columns() const;
  /// Index of a column by its path; none when it is not there.
  [[nodiscard]] std::optional<int> find(std::string_view path) const;
  /// The same, and refuses what cell() cannot read.   Errors: stage "read": no such column (those
  /// there are named), several of the name, or a kind that is not served.
  [[nodiscard]] Result<int> column(std::string_view path) const;

  /// Headers of a column's pages are read when its row group is first asked for, and one page is
  /// decoded. The pages of a list from older writers tell their rows only when decoded: there all
  /// pages of the row group up to the row are.
  ///   row     0 to rows() - 1, or BugError
  ///   column  an index into columns()
  /// Errors: stage "read", naming file, column, row group and page: damaged, cut short, changed
  /// since open(), too large, or a codec or encoding that is not served.
  [[nodiscard]] Result<ParquetCell> cell(std::int64_t row, int column) const;

 private:
  friend class ParquetCursor;
  struct State;
  explicit ParquetFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Walks one column in order without asking the cache for each cell. For one thread.
class ParquetCursor {
 public:
  ParquetCursor(std::shared_ptr<const ParquetFile> file, int column);
  ~ParquetCursor();
  ParquetCursor(ParquetCursor&&) noexcept;

  /// As ParquetFile::cell; rows in rising order are cheap, any order is right.
  [[nodiscard]] Result<ParquetCell> cell(std::int64_t row);

 private:
  struct Place;
  std::shared_ptr<const ParquetFile> file_;
  int column_;
  std::unique_ptr<Place> place_;
};

}  // namespace retinue::runtime
