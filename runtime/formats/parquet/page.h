#pragma once

#include "runtime/formats/parquet/codecs.h"
#include "runtime/formats/parquet/metadata.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime::detail {

/// Values that are present, each a piece of `bytes`.
struct ParquetValues {
  struct Piece {
    std::uint32_t begin = 0, size = 0;
  };
  HeapBytes bytes;
  std::vector<Piece> pieces;    ///< for byte arrays; empty for values of one width
  std::size_t width_bytes = 0;  ///< for values of one width
  std::size_t begin = 0;        ///< offset of the first of them
  std::size_t count = 0;

  [[nodiscard]] std::span<const std::byte> at(std::size_t index) const;
  [[nodiscard]] std::int64_t memory_bytes() const;
};

/// Marks of an entry that has no value.
inline constexpr std::int32_t kAbsent = -1, kEmptyList = -2, kAbsentList = -3;

/// One decoded data page. An entry is a cell, an element of a list, or the mark of a list without
/// elements. In a list of lists every entry without a value is kAbsent.
struct ParquetPage {
  ParquetValues own;
  std::shared_ptr<const ParquetValues> dictionary;  ///< with `indices`, instead of `own`
  std::vector<std::uint32_t> indices;
  std::size_t entry_count = 0;
  std::vector<std::int32_t> entries;  ///< index of the value, or a mark; empty: all are present
  /// For a list: the first entry of each row. Entries before the first one belong to a row of the
  /// page before. Empty for other columns, where row i is entry i.
  std::vector<std::uint32_t> row_begin;
  /// Dremel's levels of each entry; empty: all are the leaf's max_definition, and 0.
  std::vector<std::uint8_t> definition, repetition;

  [[nodiscard]] std::size_t rows(const ParquetLeaf& leaf) const {
    return leaf.max_repetition > 0 ? row_begin.size() : entry_count;
  }
  [[nodiscard]] std::span<const std::byte> value(std::size_t index) const {
    return dictionary != nullptr ? dictionary->at(indices[index]) : own.at(index);
  }
  [[nodiscard]] std::int64_t memory_bytes() const;
};

/// Decodes a data page.
///   stored      its bytes in the file, without the header; as many as the header says
///   dictionary  of the chunk; null where it has none
///   most_bytes  a decoded page that takes more is refused
/// Errors: as unpack_page; levels, values or indices that do not fit; an encoding that is not
///   supported; a page that is too large.
Result<ParquetPage> decode_page(const PageHeader& header, std::span<const std::byte> stored,
                                const ParquetLeaf& leaf, int codec,
                                std::shared_ptr<const ParquetValues> dictionary,
                                std::int64_t most_bytes);

/// "byte_stream_split", or a number.
std::string encoding_name(std::int64_t encoding);

/// Decodes a dictionary page.   Errors: the same.
Result<ParquetValues> decode_dictionary(const PageHeader& header, std::span<const std::byte> stored,
                                        const ParquetLeaf& leaf, int codec,
                                        std::int64_t most_bytes);

}  // namespace retinue::runtime::detail
