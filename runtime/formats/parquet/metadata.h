#pragma once

// Tested through tests/runtime/formats/parquet/reader_test.cpp.

#include "parallel/base/result.h"
#include "runtime/formats/parquet/schema.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime::detail {

// The enumerations have the numbers of parquet.thrift.
enum class PageKind { kData = 0, kIndex = 1, kDictionary = 2, kDataV2 = 3 };
inline constexpr int kPlain = 0, kPlainDictionary = 2, kRle = 3, kDeltaBinaryPacked = 5,
                     kDeltaLengthByteArray = 6, kDeltaByteArray = 7, kRleDictionary = 8;

/// The pages of one column in one row group.
struct ParquetChunk {
  int codec = 0;
  std::int64_t values = 0;  ///< with absent ones
  std::int64_t begin = 0;   ///< offset of the first page in the file
  std::int64_t end = 0;
  bool elsewhere = false;  ///< in another file, or encrypted
  /// An encoding of its pages that is not served; -1: none, as far as the footer says.
  std::int64_t unknown_encoding = -1;
};

struct ParquetRowGroup {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;
  std::vector<ParquetChunk> chunks;  ///< by column
};

struct ParquetMetadata : ParquetSchema {
  std::int64_t rows = 0;
  std::vector<ParquetRowGroup> groups;
};

/// Reads a footer and checks that its parts fit each other and the file.
///   footer    the Thrift bytes alone
///   data_end  the offset of the footer: chunks end before it
/// Errors: the reason; the caller adds stage and file.
Result<ParquetMetadata> parse_footer(std::span<const std::byte> footer, std::int64_t data_end);

/// The header before a page. Only the ranges of its sizes are checked.
struct PageHeader {
  PageKind kind = PageKind::kData;
  std::int64_t stored_bytes = 0;    ///< in the file, after the header
  std::int64_t unpacked_bytes = 0;  ///< with levels
  std::int64_t values = 0;          ///< with absent ones
  std::int64_t rows = -1;           ///< v2 only
  int encoding = 0;
  int definition_encoding = kRle, repetition_encoding = kRle;  ///< v1 only
  std::int64_t definition_bytes = 0, repetition_bytes = 0;     ///< v2 only
  bool packed = true;                                          ///< v2 may store a page unpacked
  std::optional<std::uint32_t> crc;                            ///< of the stored bytes
};

enum class HeaderState { kWhole, kNeedsMore, kDamaged };

/// Reads a page header at the beginning of `bytes` and sets `header_bytes` to its length.
HeaderState parse_page_header(std::span<const std::byte> bytes, PageHeader& header,
                              std::size_t& header_bytes);

}  // namespace retinue::runtime::detail
