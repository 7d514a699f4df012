#include "runtime/formats/tar_links.h"

#include "parallel/base/hash.h"
#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;

std::string golden() { return test::golden_folder() + "/../archive_files"; }

std::vector<TarMember> members_of(const std::string& tar) {
  TarReader reader(
      [&](std::int64_t offset, std::span<std::byte> to) -> std::size_t {
        const auto at = std::min(static_cast<std::size_t>(offset), tar.size());
        const std::size_t bytes = std::min(to.size(), tar.size() - at);
        std::memcpy(to.data(), tar.data() + at, bytes);
        return bytes;
      },
      static_cast<std::int64_t>(tar.size()));
  std::vector<TarMember> members;
  while (true) {
    const auto next = reader.next();
    EXPECT_TRUE(next.ok());
    if (!next.ok() || !next.value()) return members;
    members.push_back(**next);
  }
}

TarMember file(const std::string& name, std::int64_t offset) {
  TarMember member;
  member.name = name;
  member.offset = offset;
  return member;
}
TarMember hard(const std::string& name, const std::string& target) {
  TarMember member = file(name, 0);
  member.kind = TarKind::kHardLink;
  member.target = target;
  return member;
}
TarMember symbolic(const std::string& name, const std::string& target, std::int64_t archive = 0) {
  TarMember member = hard(name, target);
  member.kind = TarKind::kSymbolicLink;
  member.archive = archive;
  return member;
}

TEST(TarLinks, GiveTheBytesThatGnuTarExtracts) {
  const Json manifest = Json::parse(std::ifstream(golden() + "/manifest.json"));
  std::size_t links = 0;
  for (const auto& [archive, files] : manifest["extracted"].items()) {
    const std::string bytes = test::read_text(golden() + "/" + archive);
    std::map<std::string, std::optional<std::string>> found;  // the last of a name, as extracted
    auto members = members_of(bytes);
    for (const TarMember& member : members)
      links += member.kind == TarKind::kHardLink || member.kind == TarKind::kSymbolicLink ? 1 : 0;
    follow_links(members);
    for (const TarMember& member : members)
      found[member.name] = member.kind == TarKind::kFile
                               ? std::optional(sha256_hex(std::string_view(bytes).substr(
                                     static_cast<std::size_t>(member.offset),
                                     static_cast<std::size_t>(member.bytes))))
                               : std::nullopt;
    ASSERT_EQ(found.size(), files.size()) << archive;
    for (const Json& entry : files) {
      const auto name = entry[0].get<std::string>();
      if (name.starts_with("sparse")) continue;  // the members around it are read
      const auto wanted =
          entry[1].is_null() ? std::nullopt : std::optional(entry[1].get<std::string>());
      EXPECT_EQ(found.at(name), wanted) << archive << " " << name;
    }
  }
  EXPECT_GT(links, 50U);
}

TEST(TarLinks, OfMembersWithOneNameAHardLinkMeansTheOneBeforeItAndASymbolicLinkTheLast) {
  std::vector<TarMember> members = {file("a", 1), hard("x", "a"), symbolic("y", "a"),
                                    file("./a", 2), hard("a", "a")};
  EXPECT_EQ(follow_links(members), 1U) << "a file that is named twice is there once";
  ASSERT_EQ(members.size(), 4U);
  EXPECT_EQ(members[1].offset, 1);
  EXPECT_EQ(members[2].offset, 2);
}

// GNU tar writes `tar c 1 2 1 2`, where 2 is another name of file 1, with three links.
TEST(TarLinks, ThatAreWrittenForAFileNamedTwiceAreRemoved) {
  std::vector<TarMember> members = {file("1", 5), hard("2", "1"), hard("1", "1"), hard("2", "1"),
                                    hard("2", "2")};
  EXPECT_EQ(follow_links(members), 3U);
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[1].name, "2");
  EXPECT_EQ(members[1].offset, 5);
}

TEST(TarLinks, StayInTheirPartOfJoinedArchivesWhereItHasTheName) {
  std::vector<TarMember> members = {file("a", 1), symbolic("x", "a"), file("a", 2),
                                    symbolic("y", "b", 1)};
  members[2].archive = 1;
  members.push_back(file("b", 3));
  follow_links(members);
  EXPECT_EQ(members[1].offset, 1);
  EXPECT_EQ(members[3].offset, 3) << "else they are those of another part";
}

TEST(TarLinks, AreBounded) {
  std::vector<TarMember> members = {file("0", 7)};
  for (int i = 1; i < 100; ++i)
    members.push_back(symbolic(std::to_string(i), std::to_string(i - 1)));
  members.push_back(symbolic("deep", std::string(100000, '/') + "0"));
  members.push_back(hard("only-itself", "only-itself"));
  follow_links(members);
  EXPECT_EQ(members[40].kind, TarKind::kFile);
  EXPECT_EQ(members[40].offset, 7);
  EXPECT_EQ(members[99].kind, TarKind::kSymbolicLink) << "as a system bounds them";
  EXPECT_EQ(members[100].kind, TarKind::kSymbolicLink);
  EXPECT_EQ(members[101].kind, TarKind::kHardLink);
}

}  // namespace
}  // namespace retinue::runtime
