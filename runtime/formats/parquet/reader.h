#pragma once

#include "parallel/base/result.h"
#include "runtime/formats/parquet/schema.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// The value of one row of one column.
struct ParquetCell {
  bool null = false;  ///< the value, or a struct or list around it, is absent
  /// None where the cell is null; one for a column that is no list. Strings, binary and fixed-size
  /// values are their bytes; others are text: numbers and decimals, "true" and "false", UUIDs, dates
  /// and times as in ISO 8601. An element of a list may be absent. In a list of lists, so is each
  /// list without elements, and no cell is null.
  std::vector<std::optional<std::string>> values;
};

/// A value of a row with Dremel's levels: what it takes to build lists and structs.
struct ParquetEntry {
  std::uint8_t repetition = 0, definition = 0;
  std::string text;  ///< as ParquetCell::values; empty for binary, which cell() gives
};

struct ParquetOptions {
  /// Size of the cache of decoded pages. A larger page is kept alone.
  std::int64_t cache_bytes = std::int64_t{256} << 20;
  /// A page whose header gives a larger size is refused, so that a damaged file takes no memory.
  std::int64_t max_page_bytes = std::int64_t{1} << 30;
};

/// The stage of an error that no copy of the file would mend.
inline constexpr const char* kUnsupportedParquet = "unsupported";

/// Cells of a Parquet file, in any order, from any number of threads.   parquet.thrift 2.11
/// Supported: plain, dictionary, RLE and delta encodings; data pages v1 and v2; uncompressed,
/// snappy, gzip and zstd; absent values; structs, lists and maps in each other. Other columns of a
/// file may be anything; only reading them is refused. nested.h gives columns as JSON.
class ParquetFile {
 public:
  /// Reads the footer, no data.   Errors: stage "read", naming the file: missing, no Parquet, cut
  /// short, damaged; stage kUnsupportedParquet: encrypted.
  static Result<std::shared_ptr<const ParquetFile>> open(const std::string& path,
                                                         const ParquetOptions& options = {});
  ~ParquetFile();
  ParquetFile(const ParquetFile&) = delete;
  ParquetFile& operator=(const ParquetFile&) = delete;

  [[nodiscard]] const std::string& path() const;
  [[nodiscard]] std::int64_t rows() const;
  [[nodiscard]] const std::vector<ParquetColumn>& columns() const;
  /// The columns as their writer sees them, before structs and lists are divided into leaves.
  [[nodiscard]] const std::vector<ParquetNode>& schema() const;
  /// The index of a column, by its path; nothing where there is no such column.
  [[nodiscard]] std::optional<int> find(std::string_view path) const;
  /// The same for a column that cell() can read.   Errors: stage "read": no such column (the
  /// message lists the columns), several of this path, a kind that is not supported.
  [[nodiscard]] Result<int> column(std::string_view path) const;

  /// Why no cell of a column could be read, as far as the footer shows it: "is compressed with brotli,
  /// which is not served". Empty where nothing speaks against it.
  [[nodiscard]] std::string refusal(int column) const;

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
  /// All entries of a row. One at least; the first has repetition 0 and no other has.
  ///   bytes_left  reduced by the size of the entries
  /// Errors: as cell(); a row that takes more than `bytes_left`.
  [[nodiscard]] Result<bool> entries(std::int64_t row, std::int64_t& bytes_left,
                                     std::vector<ParquetEntry>& out);

 private:
  struct Place;
  Result<std::int64_t> find(std::int64_t row);
  std::shared_ptr<const ParquetFile> file_;
  int column_;
  std::unique_ptr<Place> place_;
};

}  // namespace retinue::runtime
