#include "runtime/formats/atomic_file.h"

#include "parallel/base/check.h"
#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <sys/stat.h>

namespace retinue::runtime {
namespace {

TEST(AtomicFile, LeavesTheOldFileUntilItIsWhole) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("x.jsonl");
  test::write_text(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
  }
  EXPECT_EQ(test::read_text(path), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".part"));
  AtomicFile file(path);
  file.write("new");
  file.commit();
  EXPECT_EQ(test::read_text(path), "new");
}

TEST(AtomicFile, ReplacesTheTargetOfALinkAndNoDevice) {
  const test::TemporaryFolder folder;
  test::write_text(folder.path("x.json"), "old");
  std::filesystem::create_symlink("x.json", folder.path("link"));
  AtomicFile file(folder.path("link"));
  file.write("new");
  file.commit();
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("link")));
  EXPECT_EQ(test::read_text(folder.path("x.json")), "new");
  ASSERT_EQ(::mkfifo(folder.path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(AtomicFile(folder.path("pipe")), UsageError);
}

TEST(AtomicFile, AtAPathThatCanNeverBeMadeIsTheUsersFault) {
  EXPECT_THROW(AtomicFile("/dev/null/x.json"), UsageError);
  EXPECT_THROW(AtomicFile("/nowhere/x.json"), SystemError);
}

}  // namespace
}  // namespace retinue::runtime
