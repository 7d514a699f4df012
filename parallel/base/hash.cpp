#include "parallel/base/hash.h"

#include "parallel/base/check.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <openssl/err.h>
#include <openssl/evp.h>

namespace retinue {

std::uint64_t xxh3_64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

namespace {

/// Throws what libcrypto says about the call that just failed.
void require(bool ok, std::string_view call) {
  if (ok) [[likely]]
    return;
  std::array<char, 256> why{};
  ERR_error_string_n(ERR_get_error(), why.data(), why.size());
  throw SystemError(
      fmt::format("[sha256] libcrypto refused {}: {}. Does its configuration "
                  "(openssl.cnf) switch SHA-256 off?",
                  call, why.data()));
}

EVP_MD_CTX* evp(void* context) {
  check(context != nullptr, "a SHA-256 is not used after its end");
  return static_cast<EVP_MD_CTX*>(context);
}

/// EVP_sha256() names the algorithm only: every start would look its code up again, which takes
/// longer than hashing 32 bytes. Never freed, like libcrypto's own tables.
const EVP_MD* algorithm() {
  static const EVP_MD* const found = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  require(found != nullptr, "EVP_MD_fetch");
  return found;
}

}  // namespace

void Sha256::Free::operator()(void* context) const {
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context));
}

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  require(context_ != nullptr, "EVP_MD_CTX_new");
  require(EVP_DigestInit_ex(evp(context_.get()), algorithm(), nullptr) == 1, "EVP_DigestInit_ex");
}

Sha256::Sha256(const Sha256& other) : context_(EVP_MD_CTX_new()) {
  require(context_ != nullptr, "EVP_MD_CTX_new");
  require(EVP_MD_CTX_copy_ex(evp(context_.get()), evp(other.context_.get())) == 1,
          "EVP_MD_CTX_copy_ex");
}

Sha256& Sha256::operator=(const Sha256& other) {
  Sha256 copy(other);
  context_.swap(copy.context_);
  return *this;
}

void Sha256::update(std::span<const std::byte> bytes) {
  require(EVP_DigestUpdate(evp(context_.get()), bytes.data(), bytes.size()) == 1,
          "EVP_DigestUpdate");
}

std::string Sha256::finish_hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  require(EVP_DigestFinal_ex(evp(context_.get()), digest.data(), &size) == 1, "EVP_DigestFinal_ex");
  context_.reset();
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += kDigits[digest[i] >> 4];
    hex += kDigits[digest[i] & 15];
  }
  return hex;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish_hex();
}

std::string sha256_hex(std::string_view text) {
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace retinue
