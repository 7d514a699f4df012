#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace retinue {

/// XXH3, 64 bits: fast, for checksums of our own records. Not for identity of foreign bytes.
std::uint64_t xxh3_64(std::span<const std::byte> bytes);

/// SHA-256 in pieces.  FIPS 180-4, by libcrypto, which uses the CPU's SHA instructions.
/// A copy continues on its own from the bytes so far.
/// Throws: SystemError when libcrypto cannot provide SHA-256; BugError on use after finish_hex().
class Sha256 {
 public:
  Sha256();
  Sha256(const Sha256& other);
  Sha256& operator=(const Sha256& other);
  Sha256(Sha256&&) noexcept = default;
  Sha256& operator=(Sha256&&) noexcept = default;
  ~Sha256() = default;

  void update(std::span<const std::byte> bytes);
  /// 64 lower-case hexadecimal digits. The object is spent afterwards.
  [[nodiscard]] std::string finish_hex();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  std::unique_ptr<void, Free> context_;  // an EVP_MD_CTX; null once spent
};

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);

}  // namespace retinue
