#pragma once

#include "parallel/base/result.h"
#include "runtime/formats/parquet/reader.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime::detail {

// Numbers of these enumerations are those of parquet.thrift.
enum class ParquetType { kBoolean, kInt32, kInt64, kInt96, kFloat, kDouble, kByteArray, kFixed };
enum class PageKind { kData = 0, kIndex = 1, kDictionary = 2, kDataV2 = 3 };
inline constexpr int kPlain = 0, kPlainDictionary = 2, kRle = 3, kDeltaBinaryPacked = 5,
                     kDeltaLengthByteArray = 6, kDeltaByteArray = 7, kRleDictionary = 8;

/// How the values of one leaf are written. Levels as in Dremel (Melnik et al. 2010).
struct ParquetLeaf {
  ParquetType type = ParquetType::kByteArray;
  int width_bytes = 0;         ///< of one plain value; 0 for byte arrays and booleans
  bool is_unsigned = false;    ///< integers
  int max_definition = 0;      ///< level of a value that is there
  int max_repetition = 0;      ///< 0, or 1 for a list
  int element_definition = 0;  ///< of a list: from this level on there is an element
  std::string refusal;         ///< why it cannot be read; empty: it can
};

/// The pages of one column in one row group.
struct ParquetChunk {
  int codec = 0;
  std::int64_t values = 0;  ///< absent ones among them
  std::int64_t begin = 0;   ///< offset of the first page in the file
  std::int64_t end = 0;
  bool elsewhere = false;  ///< in another file, or encrypted
};

struct ParquetRowGroup {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::vector<ParquetChunk> chunks;  ///< by column
};

struct ParquetMetadata {
  std::int64_t rows = 0;
  std::vector<ParquetColumn> columns;
  std::vector<ParquetLeaf> leaves;  ///< by column
  std::vector<ParquetRowGroup> groups;
};

/// Reads a footer and checks that all it says fits together.
///   footer    the Thrift bytes alone
///   data_end  offset at which the footer begins: chunks end before it
/// Errors: what is wrong; stage and file are the caller's to add.
Result<ParquetMetadata> parse_footer(std::span<const std::byte> footer, std::int64_t data_end);

/// What stands before a page. Sizes are checked to be no less than zero, and nothing else.
struct PageHeader {
  PageKind kind = PageKind::kData;
  std::int64_t stored_bytes = 0;    ///< in the file, after the header
  std::int64_t unpacked_bytes = 0;  ///< levels included
  std::int64_t values = 0;          ///< absent ones among them
  std::int64_t rows = -1;           ///< v2 only
  int encoding = 0;
  int definition_encoding = kRle, repetition_encoding = kRle;  ///< v1 only
  std::int64_t definition_bytes = 0, repetition_bytes = 0;     ///< v2 only
  bool packed = true;                                          ///< v2 may say no
  std::optional<std::uint32_t> crc;                            ///< of the stored bytes
};

enum class HeaderState { kWhole, kNeedsMore, kDamaged };

/// Reads a page header at the beginning of `bytes`; `header_bytes` is what it took.
HeaderState parse_page_header(std::span<const std::byte> bytes, PageHeader& header,
                              std::size_t& header_bytes);

}  // namespace retinue::runtime::detail
