#include "parallel/base/path_error.h"

#include "parallel/base/check.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <sys/stat.h>

namespace retinue {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TEST(PathError, APathThatCanNeverBeMadeIsTheUsersFault) {
  for (const int error : {EACCES, EEXIST, EISDIR, ELOOP, ENOENT, ENAMETOOLONG, ENOTDIR, EROFS})
    EXPECT_THAT([&] { fail_to_make("a/b", "[test]", error); },
                ThrowsMessage<UsageError>(HasSubstr("[test] a/b cannot be made: ")));
  for (const int error : {ENOSPC, EDQUOT, EIO, EMFILE, ENOMEM})
    EXPECT_THAT([&] { fail_to_make("a/b", "[test]", error); },
                ThrowsMessage<SystemError>(HasSubstr("Make room")));
}

TEST(PathError, APathThatCannotBeReachedIsNamedWithItsReason) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(file_type_at(folder.path("absent"), "[test]"), std::filesystem::file_type::not_found);
  EXPECT_EQ(file_type_at(folder.path(), "[test]"), std::filesystem::file_type::directory);
  EXPECT_FALSE(exists_at(folder.path("absent"), "[test]"));
  EXPECT_TRUE(exists_at(folder.path(), "[test]"));
  std::filesystem::create_symlink("loop", folder.path("loop"));
  const std::string longer = folder.path(std::string(300, 'a'));
  EXPECT_THAT([&] { file_type_at(folder.path("loop"), "[test]"); },
              ThrowsMessage<UsageError>(HasSubstr("loop cannot be reached: Too many levels")));
  EXPECT_THAT([&] { file_type_at(longer, "[test]"); },
              ThrowsMessage<UsageError>(HasSubstr("a cannot be reached: File name too long")));
}

TEST(PathError, AFileToWriteIsBehindLinksAndRegular) {
  const test::TemporaryFolder folder;
  const std::string file = folder.write("x", "");
  const auto target = [](const std::string& path) { return file_to_write(path, "[test]"); };
  EXPECT_EQ(target(file), file);
  EXPECT_EQ(target(folder.path("absent")), folder.path("absent"));
  std::filesystem::create_symlink("x", folder.path("link"));
  std::filesystem::create_symlink("link", folder.path("link of a link"));
  EXPECT_EQ(target(folder.path("link of a link")), std::filesystem::canonical(file));
  std::filesystem::create_symlink("nothing", folder.path("dangling"));
  std::filesystem::create_symlink("loop", folder.path("loop"));
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  for (const std::string& wrong : {folder.path(), folder.path("dangling"), folder.path("loop"),
                                   folder.path("pipe"), std::string("/dev/null")})
    EXPECT_THAT([&] { target(wrong); }, ThrowsMessage<UsageError>(HasSubstr("[test] " + wrong)));
}

}  // namespace
}  // namespace retinue
