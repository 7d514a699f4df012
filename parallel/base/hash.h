#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace retinue {

/// XXH3, 64 bits: fast, for checksums of our own records. Not for identity of foreign bytes.
std::uint64_t xxh3_64(std::span<const std::byte> bytes);

/// SHA-256 in pieces.  FIPS 180-4.
class Sha256 {
 public:
  Sha256();
  void update(std::span<const std::byte> bytes);
  /// 64 lower-case hexadecimal digits. The object is spent afterwards.
  [[nodiscard]] std::string finish_hex();

 private:
  void compress(const std::uint8_t* block);

  std::array<std::uint32_t, 8> state_;
  std::array<std::uint8_t, 64> pending_{};
  std::size_t pending_bytes_ = 0;
  std::uint64_t total_bytes_ = 0;
};

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);

}  // namespace retinue
