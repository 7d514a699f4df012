#include "runtime/formats/tar.h"

#include "parallel/base/hash.h"
#include "tests/runtime/formats/plain_tar.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <span>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

std::string golden() { return test::golden_folder() + "/../archive_files"; }

/// All regular members, or the damage, over bytes in memory.
struct Read {
  std::vector<TarMember> members;
  std::string error;
  std::int64_t unread_bytes = 0;
};
Read read_all(const std::string& tar) {
  TarReader reader(
      [&](std::int64_t offset, std::span<std::byte> to) -> std::size_t {
        const auto at = static_cast<std::size_t>(offset);
        if (at >= tar.size()) return 0;
        const std::size_t bytes = std::min(to.size(), tar.size() - at);
        std::memcpy(to.data(), tar.data() + at, bytes);
        return bytes;
      },
      static_cast<std::int64_t>(tar.size()));
  Read read;
  while (true) {
    auto next = reader.next();
    if (!next.ok()) return read.error = next.error().message, read;
    read.unread_bytes = reader.unread_bytes();
    if (!next.value()) return read;
    if ((**next).kind == TarKind::kFile) read.members.push_back(**next);
  }
}

TEST(Tar, GivesTheMembersThatPythonsTarfileReads) {
  const Json manifest = Json::parse(std::ifstream(golden() + "/manifest.json"));
  for (const auto& [name, members] : manifest["members"].items()) {
    const std::string bytes = test::read_text(golden() + "/" + name);
    const Read read = read_all(bytes);
    EXPECT_EQ(read.error, "") << name;
    ASSERT_EQ(read.members.size(), members.size()) << name;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const TarMember& member = read.members[i];
      EXPECT_EQ(member.name, members[i][0].get<std::string>()) << name;
      EXPECT_EQ(sha256_hex(std::string_view(bytes).substr(static_cast<std::size_t>(member.offset),
                                                          static_cast<std::size_t>(member.bytes))),
                members[i][1].get<std::string>())
          << name << " " << member.name;
    }
  }
}

TEST(Tar, AChangedByteOfAHeaderIsFound) {
  const std::string whole = plain_tar({{"0.jpg", "0"}, {"1.jpg", "1"}});
  for (std::size_t at = 1024; at < 1536; ++at) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    const Read read = read_all(changed);
    EXPECT_TRUE(!read.error.empty() || read.members.size() == 2) << at;
    EXPECT_GE(read.members.size(), 1U);
  }
}

TEST(Tar, ZerosBehindTheEndMarkMayHaveAnyLength) {
  const std::string one = plain_tar({{"0.jpg", "0"}}), two = plain_tar({{"1.jpg", "1"}});
  for (const std::size_t zeros : {0, 1, 511, 512, 700, 10240, 65535, 65536, 1 << 20}) {
    const std::string padding(zeros, '\0');
    const Read alone = read_all(one + padding);
    EXPECT_EQ(alone.error, "") << zeros;
    EXPECT_EQ(alone.members.size(), 1U) << zeros;
    EXPECT_EQ(alone.unread_bytes, 0) << zeros;
    if (zeros % 512 != 0) continue;
    const Read joined = read_all(one + padding + two + padding);
    EXPECT_EQ(joined.error, "") << zeros;
    ASSERT_EQ(joined.members.size(), 2U) << zeros;
    EXPECT_EQ(joined.members[0].archive, 0);
    EXPECT_EQ(joined.members[1].archive, 1);
  }
}

TEST(Tar, OtherBytesBehindTheEndMarkAreCountedAndADamagedArchiveThereIsDamage) {
  const std::string one = plain_tar({{"0.jpg", "0"}}), two = plain_tar({{"1.jpg", "1"}});
  for (const std::size_t bytes : {1, 500, 512, 513, 4000}) {
    const Read read = read_all(one + std::string(bytes, 'x'));
    EXPECT_EQ(read.error, "") << bytes;
    EXPECT_EQ(read.members.size(), 1U);
    EXPECT_EQ(read.unread_bytes, static_cast<std::int64_t>(bytes));
  }
  std::string changed = one + two;
  changed[one.size()] ^= 4;
  EXPECT_THAT(read_all(changed).error, HasSubstr("checksum"));
  EXPECT_THAT(read_all((one + two).substr(0, one.size() + 512)).error, HasSubstr("1.jpg should"));
  EXPECT_THAT(read_all((one + two).substr(0, one.size() + 1024)).error, HasSubstr("may be cut"));
}

// A disk that fails in the zeros between two archives must not end the first one silently.
TEST(Tar, BytesThatCannotBeReadBehindTheEndMarkAreDamage) {
  const std::string one = plain_tar({{"0.jpg", "0"}});
  for (const std::int64_t readable : {std::ssize(one), std::ssize(one) + 70000}) {
    TarReader reader(
        [&](std::int64_t offset, std::span<std::byte> to) -> std::size_t {
          const auto bytes = std::min(std::ssize(to), std::max<std::int64_t>(0, readable - offset));
          for (std::int64_t i = 0; i < bytes; ++i)
            to[static_cast<std::size_t>(i)] =
                offset + i < std::ssize(one)
                    ? static_cast<std::byte>(one[static_cast<std::size_t>(offset + i)])
                    : std::byte{0};
          return static_cast<std::size_t>(bytes);
        },
        1 << 20);
    EXPECT_TRUE(reader.next().ok());
    const auto end = reader.next();
    ASSERT_FALSE(end.ok());
    EXPECT_THAT(end.error().message, HasSubstr("cannot be read"));
  }
}

}  // namespace
}  // namespace retinue::runtime
