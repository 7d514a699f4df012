#pragma once

#include "parallel/base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace retinue::runtime::detail {

/// Bytes on the heap that are not cleared first: a page is written once, whole.
struct HeapBytes {
  std::unique_ptr<std::byte[]> data;
  std::size_t size = 0;

  HeapBytes() = default;
  explicit HeapBytes(std::size_t bytes)
      : data(std::make_unique_for_overwrite<std::byte[]>(bytes)), size(bytes) {}
  [[nodiscard]] std::span<const std::byte> span() const { return {data.get(), size}; }
  [[nodiscard]] std::span<std::byte> span() { return {data.get(), size}; }
};

inline constexpr int kUncompressed = 0;

/// Whether unpack_page() unpacks the codec.
bool is_served_codec(int codec);
/// "brotli", or a number.
std::string codec_name(int codec);

/// Unpacks one page.
///   codec   a number of parquet.thrift; kUncompressed copies
///   stored  the bytes in the file
///   bytes   the unpacked size in the page's header; another size means damage
/// Allocates nothing where the codec cannot make `bytes` of `stored`.
/// Errors: a damaged page; a codec that is not supported, by name. The caller adds stage and place.
Result<HeapBytes> unpack_page(int codec, std::span<const std::byte> stored, std::int64_t bytes);

/// The CRC of zip and gzip, which pages carry.
std::uint32_t crc32_of(std::span<const std::byte> bytes);

}  // namespace retinue::runtime::detail
