#include "parallel/base/hash.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <string>

namespace retinue {
namespace {

// Vectors of FIPS 180-4's examples and NIST's long message.
TEST(Sha256, MatchesPublishedVectors) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheBytesAreCut) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (std::size_t size = 0; size <= text.size(); size += 13) {
    for (std::size_t cut = 0; cut <= size; cut += 7) {
      Sha256 hash;
      hash.update(std::as_bytes(std::span(text.data(), cut)));
      hash.update(std::as_bytes(std::span(text.data() + cut, size - cut)));
      ASSERT_EQ(hash.finish_hex(), sha256_hex(std::string_view(text).substr(0, size)))
          << size << " cut at " << cut;
    }
  }
}

TEST(Sha256, ACopyContinuesOnItsOwn) {
  const auto bytes = [](std::string_view text) { return std::as_bytes(std::span(text)); };
  Sha256 hash;
  hash.update(bytes("ab"));
  Sha256 copy = hash, assigned;
  assigned.update(bytes("forgotten"));
  assigned = hash;
  hash.update(bytes("c"));
  copy.update(bytes("d"));
  EXPECT_EQ(hash.finish_hex(), sha256_hex("abc"));
  EXPECT_EQ(copy.finish_hex(), sha256_hex("abd"));
  EXPECT_EQ(assigned.finish_hex(), sha256_hex("ab"));
}

TEST(Sha256, IsNotUsedAfterItsEnd) {
  Sha256 hash;
  EXPECT_EQ(hash.finish_hex(), sha256_hex(""));
  EXPECT_THROW(hash.update({}), BugError);
  EXPECT_THROW((void)hash.finish_hex(), BugError);
  EXPECT_THROW(const Sha256 copy(hash), BugError);
}

TEST(Xxh3, MatchesItsReference) {
  // XXH3_64bits of no bytes, as the xxHash specification gives it.
  EXPECT_EQ(xxh3_64({}), 0x2D06800538D394C2U);
}

}  // namespace
}  // namespace retinue
