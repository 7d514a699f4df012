#include "runtime/formats/atomic_file.h"

#include "parallel/base/check.h"
#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

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

TEST(AtomicFile, AtAPathThatCanNeverBeMadeIsTheUsersFault) {
  EXPECT_THROW(AtomicFile("/dev/null/x.json"), UsageError);
  EXPECT_THROW(AtomicFile("/nowhere/x.json"), SystemError);
}

}  // namespace
}  // namespace retinue::runtime
