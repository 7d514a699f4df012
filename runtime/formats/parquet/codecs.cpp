#include "runtime/formats/parquet/codecs.h"

#include <fmt/format.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <string>

namespace retinue::runtime::detail {
namespace {

constexpr int kSnappy = 1, kGzip = 2, kZstd = 6;

DataError error(std::string message) { return {"read", std::move(message)}; }

/// The most bytes that one byte can become, rounded up: a snappy copy of 64 takes three bytes,
/// deflate gives 258 for two bits, zstd repeats a byte 128 Ki times in a block of four.
std::int64_t most_per_byte(int codec) {
  return codec == kSnappy ? 24 : codec == kGzip ? 1040 : codec == kZstd ? 43700 : 1;
}

const char* chars(std::span<const std::byte> bytes) {
  return reinterpret_cast<const char*>(bytes.data());
}

bool unpack_snappy(std::span<const std::byte> stored, std::span<std::byte> out) {
  std::size_t size = 0;
  if (snappy_uncompressed_length(chars(stored), stored.size(), &size) != SNAPPY_OK ||
      size != out.size())
    return false;
  return snappy_uncompress(chars(stored), stored.size(), reinterpret_cast<char*>(out.data()),
                           &size) == SNAPPY_OK;
}

/// Unpacks gzip and bare zlib streams; several gzip members form one stream.
bool unpack_gzip(std::span<const std::byte> stored, std::span<std::byte> out) {
  z_stream stream{};
  constexpr int kEitherHeader = 32 + MAX_WBITS;
  if (inflateInit2(&stream, kEitherHeader) != Z_OK) throw std::bad_alloc();
  // zlib's interface is not const, but it does not change its input.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(stored.data()));
  stream.avail_in = static_cast<uInt>(stored.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int state = Z_OK;
  do {
    state = inflate(&stream, Z_FINISH);
    if (state != Z_STREAM_END || stream.avail_in == 0) break;
  } while (inflateReset(&stream) == Z_OK);
  const bool whole = state == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  return whole;
}

bool unpack_zstd(std::span<const std::byte> stored, std::span<std::byte> out) {
  return ZSTD_decompress(out.data(), out.size(), stored.data(), stored.size()) == out.size();
}

}  // namespace

std::string codec_name(int codec) {
  constexpr const char* kNames[] = {"uncompressed", "snappy", "gzip", "lzo",
                                    "brotli",       "lz4",    "zstd", "lz4_raw"};
  return codec >= 0 && codec < 8 ? kNames[codec] : fmt::format("codec {}", codec);
}

bool is_served_codec(int codec) {
  return codec == kUncompressed || codec == kSnappy || codec == kGzip || codec == kZstd;
}

Result<HeapBytes> unpack_page(int codec, std::span<const std::byte> stored, std::int64_t bytes) {
  if (!is_served_codec(codec))
    return error(
        fmt::format("is compressed with {}, which is not served. Write it uncompressed or "
                    "with snappy, gzip or zstd",
                    codec_name(codec)));
  const auto stored_bytes = static_cast<std::int64_t>(stored.size());
  const bool possible =
      codec == kUncompressed ? bytes == stored_bytes : bytes / most_per_byte(codec) <= stored_bytes;
  if (bytes < 0 || !possible)
    return error(fmt::format("is damaged: it says that {} bytes of {} become {}", stored.size(),
                             codec_name(codec), bytes));
  HeapBytes out(static_cast<std::size_t>(bytes));
  if (bytes == 0) return out;
  bool whole = true;
  if (codec == kUncompressed) std::ranges::copy(stored, out.data.get());
  if (codec == kSnappy) whole = unpack_snappy(stored, out.span());
  if (codec == kGzip) whole = unpack_gzip(stored, out.span());
  if (codec == kZstd) whole = unpack_zstd(stored, out.span());
  if (!whole) return error(fmt::format("is damaged: its {} data do not unpack", codec_name(codec)));
  return out;
}

std::uint32_t crc32_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

}  // namespace retinue::runtime::detail
