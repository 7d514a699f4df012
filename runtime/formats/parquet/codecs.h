#pragma once

#include "parallel/base/result.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace retinue::runtime::detail {

/// Bytes on the heap that nobody has cleared: a page is written once, whole.
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

/// Unpacks one page.
///   codec   as parquet.thrift numbers them; kUncompressed copies
///   stored  what the file has
///   bytes   what its header says it becomes; exactly that, or it is damaged
/// Before anything is allocated `bytes` is held against what the codec can make of `stored`.
/// Errors: a damaged page; a codec that is not served, by name. The stage and place are the
/// caller's to add.
Result<HeapBytes> unpack_page(int codec, std::span<const std::byte> stored, std::int64_t bytes);

/// Of zip and gzip, which pages carry.
std::uint32_t crc32_of(std::span<const std::byte> bytes);

}  // namespace retinue::runtime::detail
