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

/// The value of one row of one column.
struct ParquetCell {
  bool null = false;  ///< the value, or a struct or list around it, is absent
  /// None where the cell is null; one for a column that is no list. Strings, binary and fixed-size
  /// values are their bytes, numbers decimal text, booleans "true" and "false"; times, dates and
  /// decimals are the stored number or bytes. An element of a list may be absent.
  std::vector<std::optional<std::string>> values;
};

struct ParquetOptions {
  /// Size of the cache of decoded pages. A larger page is kept alone.
  std::int64_t cache_bytes = std::int64_t{256} << 20;
  /// A page whose header gives a larger size is refused, so that a damaged file takes no memory.
  std::int64_t max_page_bytes = std::int64_t{1} << 30;
};

/// Cells of a Parquet file, in any order, from any number of threads.   parquet.thrift 2.11
/// Supported: plain, dictionary, RLE and delta encodings; data pages v1 and v2; uncompressed,
/// snappy, gzip and zstd; absent values; structs in structs; one level of list. Other columns of a
/// file may be anything; only reading them is refused.
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
  /// The index of a column, by its path; nothing where there is no such column.
  [[nodiscard]] std::optional<int> find(std::string_view path) const;
  /// The same for a column that cell() can read.   Errors: stage "read": no such column (the
  /// message lists the columns), several of this path, a kind that is not supported.
  [[nodiscard]] Result<int> column(std::string_view path) const;

  /// Reads the page headers of a column when its row group is used first, and decodes one page. In
  /// lists of older writers only decoding shows which rows a page holds: there all pages of the row
  /// group up to the row are decoded.
  ///   row     0 to rows() - 1, or BugError
  ///   column  an index into columns()
  /// Errors: stage "read", naming file, column, row group and page: damaged, cut short, changed
  /// since open(), too large, or a codec or encoding that is not supported.
  [[nodiscard]] Result<ParquetCell> cell(std::int64_t row, int column) const;

 private:
  friend class ParquetCursor;
  struct State;
  explicit ParquetFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Reads one column in order, without a look-up in the cache for each cell. For one thread.
class ParquetCursor {
 public:
  ParquetCursor(std::shared_ptr<const ParquetFile> file, int column);
  ~ParquetCursor();
  ParquetCursor(ParquetCursor&&) noexcept;

  /// As ParquetFile::cell. Rows may come in any order; ascending order is cheap.
  [[nodiscard]] Result<ParquetCell> cell(std::int64_t row);

 private:
  struct Place;
  std::shared_ptr<const ParquetFile> file_;
  int column_;
  std::unique_ptr<Place> place_;
};

}  // namespace retinue::runtime
