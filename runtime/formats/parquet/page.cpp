#include "runtime/formats/parquet/page.h"

#include "runtime/formats/parquet/encodings.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

namespace retinue::runtime::detail {
namespace {

using Bytes = std::span<const std::byte>;

DataError error(std::string message) { return {"read", std::move(message)}; }
DataError damaged(const char* what) { return error(fmt::format("is damaged: {}", what)); }

DataError too_large(const PageHeader& header, std::int64_t most_bytes) {
  return error(
      fmt::format("says it holds {} bytes and {} values, and {} bytes are the limit. Write "
                  "smaller pages, or copy the file again if it is damaged",
                  header.unpacked_bytes, header.values, most_bytes));
}

std::uint32_t little_32(Bytes bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * i);
  return value;
}

/// Reads the levels of a v1 page: a length, then runs.
bool take_levels(Bytes& in, Bytes& levels) {
  if (in.size() < 4) return false;
  const std::size_t size = little_32(in);
  if (size > in.size() - 4) return false;
  levels = in.subspan(4, size);
  in = in.subspan(4 + size);
  return true;
}

bool plain_byte_arrays(ParquetValues& values, Bytes in, std::size_t count) {
  const std::byte* start = values.bytes.data.get();
  if (count > in.size() / 4) return false;
  values.pieces.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (in.size() < 4) return false;
    const std::uint32_t size = little_32(in);
    if (size > in.size() - 4) return false;
    values.pieces.push_back({static_cast<std::uint32_t>(in.data() + 4 - start), size});
    in = in.subspan(4 + size);
  }
  return true;
}

/// New bytes, for values that the page does not hold as they are.
std::byte* rebuild(ParquetValues& values, std::size_t size) {
  values.bytes = HeapBytes(size);
  return values.bytes.data.get();
}

bool booleans(ParquetValues& values, Bytes in, std::size_t count, bool runs) {
  std::vector<std::uint32_t> bits(count);
  if (runs) {
    Bytes levels;
    if (!take_levels(in, levels) || !read_hybrid(levels, 1, bits)) return false;
  } else {
    if (in.size() < (count + 7) / 8) return false;
    for (std::size_t i = 0; i < count; ++i)
      bits[i] = std::to_integer<std::uint32_t>(in[i / 8]) >> (i % 8) & 1U;
  }
  std::byte* out = rebuild(values, count);
  for (std::size_t i = 0; i < count; ++i) out[i] = static_cast<std::byte>(bits[i]);
  values.width_bytes = 1;
  return true;
}

bool delta_numbers(ParquetValues& values, Bytes in, std::size_t count, std::size_t width) {
  std::vector<std::int64_t> numbers;
  if (!read_deltas(in, count, numbers) || numbers.size() != count) return false;
  std::byte* out = rebuild(values, count * width);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t k = 0; k < width; ++k)
      out[i * width + k] =
          static_cast<std::byte>(static_cast<std::uint64_t>(numbers[i]) >> (8 * k) & 0xFF);
  values.width_bytes = width;
  return true;
}

/// Delta length byte array: all lengths, then all bytes.
bool delta_lengths(ParquetValues& values, Bytes in, std::size_t count) {
  std::vector<std::int64_t> lengths;
  if (!read_deltas(in, count, lengths) || lengths.size() != count) return false;
  const std::byte* start = values.bytes.data.get();
  values.pieces.reserve(count);
  for (const std::int64_t length : lengths) {
    if (length < 0 || length > static_cast<std::int64_t>(in.size())) return false;
    values.pieces.push_back(
        {static_cast<std::uint32_t>(in.data() - start), static_cast<std::uint32_t>(length)});
    in = in.subspan(static_cast<std::size_t>(length));
  }
  return true;
}

/// Delta byte array: the length of the prefix shared with the value before, then the rest as above.
bool delta_strings(ParquetValues& values, Bytes in, std::size_t count, std::size_t most_bytes) {
  std::vector<std::int64_t> repeated;
  ParquetValues rests;
  if (!read_deltas(in, count, repeated) || repeated.size() != count) return false;
  std::vector<std::int64_t> lengths;
  if (!read_deltas(in, count, lengths) || lengths.size() != count) return false;
  std::size_t total = 0, left = in.size();
  std::int64_t before = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (repeated[i] < 0 || repeated[i] > before || lengths[i] < 0 ||
        static_cast<std::size_t>(lengths[i]) > left)
      return false;
    left -= static_cast<std::size_t>(lengths[i]);
    before = repeated[i] + lengths[i];
    total += static_cast<std::size_t>(before);
    if (total > most_bytes) return false;
  }
  const HeapBytes page = std::move(values.bytes);  // `in` points into it
  std::byte* const start = rebuild(values, total);
  std::byte* out = start;
  const std::byte* last = start;
  values.pieces.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto head = static_cast<std::size_t>(repeated[i]);
    const auto rest = static_cast<std::size_t>(lengths[i]);
    values.pieces.push_back(
        {static_cast<std::uint32_t>(out - start), static_cast<std::uint32_t>(head + rest)});
    std::byte* const value = out;
    out = std::copy_n(last, head, out);
    out = std::copy_n(in.data(), rest, out);
    in = in.subspan(rest);
    last = value;
  }
  return true;
}

/// Values from `in`, a piece of `values.bytes`.
Result<bool> decode_values(ParquetValues& values, Bytes in, std::size_t count,
                           const ParquetLeaf& leaf, int encoding, std::size_t most_bytes) {
  const bool arrays = leaf.type == ParquetType::kByteArray;
  const bool numbers = leaf.type == ParquetType::kInt32 || leaf.type == ParquetType::kInt64;
  const bool boolean = leaf.type == ParquetType::kBoolean;
  const auto width = static_cast<std::size_t>(leaf.width_bytes);
  values.count = count;
  if (count == 0) return true;
  bool good = false;
  if (encoding == kPlain && arrays) {
    good = plain_byte_arrays(values, in, count);
  } else if (boolean && (encoding == kPlain || encoding == kRle)) {
    good = booleans(values, in, count, encoding == kRle);
  } else if (encoding == kPlain) {
    values.width_bytes = width;
    values.begin = static_cast<std::size_t>(in.data() - values.bytes.data.get());
    good = in.size() / width >= count;
  } else if (encoding == kDeltaBinaryPacked && numbers) {
    good = delta_numbers(values, in, count, width);
  } else if (encoding == kDeltaLengthByteArray && arrays) {
    good = delta_lengths(values, in, count);
  } else if (encoding == kDeltaByteArray && arrays) {
    good = delta_strings(values, in, count, most_bytes);
  } else {
    return error(
        fmt::format("is encoded as {}, which is not served for this type. Write it with "
                    "plain or dictionary encoding",
                    encoding_name(encoding)));
  }
  if (!good) return damaged("its values do not fit their number");
  return true;
}

/// Reads levels into entries and rows. Returns the number of values that are present.
Result<std::size_t> read_entries(ParquetPage& page, Bytes repetition, Bytes definition,
                                 const ParquetLeaf& leaf) {
  const std::size_t count = page.entry_count;
  if (leaf.max_definition == 0 && leaf.max_repetition == 0) return count;
  std::vector<std::uint32_t> levels(count);
  if (const auto lists = static_cast<std::uint32_t>(leaf.max_repetition); lists > 0) {
    if (!read_hybrid(repetition, std::bit_width(lists), levels))
      return damaged("its repetition levels end early");
    page.repetition.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      if (levels[i] > lists) return damaged("a repetition level is above the most");
      if (levels[i] == 0) page.row_begin.push_back(static_cast<std::uint32_t>(i));
      page.repetition[i] = static_cast<std::uint8_t>(levels[i]);
    }
  }
  const auto most = static_cast<std::uint32_t>(leaf.max_definition);
  const auto element = static_cast<std::uint32_t>(leaf.element_definition);
  if (!read_hybrid(definition, std::bit_width(most), levels))
    return damaged("its definition levels end early");
  page.entries.resize(count);
  page.definition.resize(count);
  std::int32_t values = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (levels[i] > most) return damaged("a definition level is above the most");
    page.definition[i] = static_cast<std::uint8_t>(levels[i]);
    page.entries[i] = levels[i] == most                                 ? values++
                      : leaf.max_repetition > 1 || levels[i] >= element ? kAbsent
                      : levels[i] + 1 == element                        ? kEmptyList
                                                                        : kAbsentList;
  }
  return static_cast<std::size_t>(values);
}

}  // namespace

std::string encoding_name(std::int64_t encoding) {
  constexpr const char* kNames[] = {"plain",
                                    "1",
                                    "plain_dictionary",
                                    "rle",
                                    "bit_packed",
                                    "delta_binary_packed",
                                    "delta_length_byte_array",
                                    "delta_byte_array",
                                    "rle_dictionary",
                                    "byte_stream_split"};
  return encoding >= 0 && encoding < 10 ? kNames[encoding] : fmt::to_string(encoding);
}

Bytes ParquetValues::at(std::size_t index) const {
  if (pieces.empty()) return bytes.span().subspan(begin + index * width_bytes, width_bytes);
  return bytes.span().subspan(pieces[index].begin, pieces[index].size);
}

std::int64_t ParquetValues::memory_bytes() const {
  return static_cast<std::int64_t>(bytes.size + pieces.size() * sizeof(Piece));
}

std::int64_t ParquetPage::memory_bytes() const {
  return own.memory_bytes() +
         static_cast<std::int64_t>(4 * (indices.size() + entries.size() + row_begin.size()) +
                                   definition.size() + repetition.size());
}

Result<ParquetPage> decode_page(const PageHeader& header, Bytes stored, const ParquetLeaf& leaf,
                                int codec, std::shared_ptr<const ParquetValues> dictionary,
                                std::int64_t most_bytes) {
  // An entry takes up to 22 bytes: levels, entries, rows, pieces.
  if (header.unpacked_bytes > most_bytes || header.values > most_bytes / 22)
    return too_large(header, most_bytes);
  ParquetPage page;
  page.entry_count = static_cast<std::size_t>(header.values);
  Bytes repetition, definition;
  Bytes packed = stored;
  std::int64_t unpacked_bytes = header.unpacked_bytes;
  const bool v2 = header.kind == PageKind::kDataV2;
  if (v2) {
    const auto levels = static_cast<std::size_t>(header.repetition_bytes + header.definition_bytes);
    if (levels > stored.size() || header.unpacked_bytes < static_cast<std::int64_t>(levels))
      return damaged("its levels are longer than itself");
    repetition = stored.first(static_cast<std::size_t>(header.repetition_bytes));
    definition = stored.subspan(repetition.size(), levels - repetition.size());
    packed = stored.subspan(levels);
    unpacked_bytes -= static_cast<std::int64_t>(levels);
  }
  auto unpacked = unpack_page(v2 && !header.packed ? kUncompressed : codec, packed, unpacked_bytes);
  if (!unpacked.ok()) return unpacked.error();
  page.own.bytes = std::move(*unpacked);
  Bytes in = page.own.bytes.span();
  if (!v2) {
    if ((leaf.max_repetition > 0 && header.repetition_encoding != kRle) ||
        (leaf.max_definition > 0 && header.definition_encoding != kRle))
      return error("has levels in an encoding that is not served. Write it with a newer program");
    if ((leaf.max_repetition > 0 && !take_levels(in, repetition)) ||
        (leaf.max_definition > 0 && !take_levels(in, definition)))
      return damaged("its levels are longer than itself");
  }
  const auto values = read_entries(page, repetition, definition, leaf);
  if (!values.ok()) return values.error();
  if (v2 && leaf.max_repetition > 0 &&
      page.row_begin.size() != static_cast<std::size_t>(header.rows))
    return damaged("it holds another number of rows than it says");
  if (header.encoding != kRleDictionary && header.encoding != kPlainDictionary) {
    const auto decoded = decode_values(page.own, in, *values, leaf, header.encoding,
                                       static_cast<std::size_t>(most_bytes));
    if (!decoded.ok()) return decoded.error();
    return page;
  }
  if (dictionary == nullptr) return damaged("it refers to a dictionary, and there is none");
  page.indices.resize(*values);
  if (*values > 0) {
    if (in.empty()) return damaged("its values do not fit their number");
    const int width = std::to_integer<int>(in[0]);
    in = in.subspan(1);
    if (!read_hybrid(in, width, page.indices)) return damaged("its indices end early");
    const auto highest = std::ranges::max(page.indices);
    if (highest >= dictionary->count) return damaged("an index is beyond the dictionary");
  }
  page.dictionary = std::move(dictionary);
  page.own = {};
  return page;
}

Result<ParquetValues> decode_dictionary(const PageHeader& header, Bytes stored,
                                        const ParquetLeaf& leaf, int codec,
                                        std::int64_t most_bytes) {
  if (header.unpacked_bytes > most_bytes || header.values > most_bytes / 20)
    return too_large(header, most_bytes);
  ParquetValues values;
  auto unpacked = unpack_page(codec, stored, header.unpacked_bytes);
  if (!unpacked.ok()) return unpacked.error();
  values.bytes = std::move(*unpacked);
  // PLAIN_DICTIONARY is the older name of RLE_DICTIONARY.
  const int encoding = header.encoding == kPlainDictionary ? kPlain : header.encoding;
  const auto decoded =
      decode_values(values, values.bytes.span(), static_cast<std::size_t>(header.values), leaf,
                    encoding, static_cast<std::size_t>(most_bytes));
  if (!decoded.ok()) return decoded.error();
  return values;
}

}  // namespace retinue::runtime::detail
