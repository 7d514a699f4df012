#include "launcher/supervisor.h"

#include "runtime/output/journal.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace retinue::launcher {
namespace {

class Supervisor : public testing::Test {
 protected:
  Supervisor() { std::filesystem::create_directories(folder_.path("journal")); }

  /// Runs a script that counts its runs in a file.
  int supervised(const std::string& script, int retries) {
    testing::internal::CaptureStderr();
    const int code =
        supervise({"/bin/sh", "-c", "cd " + folder_.path() + "; echo x >>runs; " + script},
                  folder_.path(), retries);
    said_ = testing::internal::GetCapturedStderr();
    return code;
  }
  [[nodiscard]] int runs() const {
    std::ifstream file(folder_.path("runs"));
    int lines = 0;
    for (std::string line; std::getline(file, line);) ++lines;
    return lines;
  }

  test::TemporaryFolder folder_;
  std::string said_;
};

TEST_F(Supervisor, StartsAgainAfterALostRank) {
  EXPECT_EQ(
      supervised("[ $(wc -l <runs) = 1 ] && kill -9 $$; [ $(wc -l <runs) = 2 ] && exit 75; exit 3",
                 2),
      3);
  EXPECT_EQ(runs(), 3);
  EXPECT_THAT(said_, testing::HasSubstr("2 of 2 without progress"));
}

TEST_F(Supervisor, EndsWhenThereIsNoProgress) {
  EXPECT_EQ(supervised("exit 75", 1), 75);
  EXPECT_EQ(runs(), 2);
  EXPECT_THAT(said_, testing::HasSubstr("1 in a row made no progress"));
}

TEST_F(Supervisor, CountsFromTheStartAfterProgress) {
  std::filesystem::create_directories(folder_.path("ready"));
  for (int epoch = 0; epoch < 3; ++epoch) {
    runtime::SegmentWriter writer(runtime::segment_path(folder_.path(), 0, epoch), 0);
    writer.append(runtime::EntryType::kDone, epoch, "{}");
    writer.close();
    std::filesystem::rename(runtime::segment_path(folder_.path(), 0, epoch),
                            folder_.path("ready/" + std::to_string(epoch + 1)));
  }
  EXPECT_EQ(
      supervised("n=$(wc -l <runs); mv ready/$n journal/r00000.e$n.seg || exit 0; exit 75", 1), 0);
  EXPECT_EQ(runs(), 4);
}

TEST_F(Supervisor, LeavesMistakesAndBugsAlone) {
  for (const int code : {0, 1, 2, 3, 4})
    EXPECT_EQ(supervised("exit " + std::to_string(code), 5), code);
  EXPECT_EQ(runs(), 5);
}

TEST_F(Supervisor, DoesNotStartAgainWhatWasAskedToStop) {
  EXPECT_EQ(supervised("trap 'exit 75' USR1; kill -TERM $PPID; i=0; while [ $i -lt 300 ]; do sleep "
                       "0.2; i=$((i + 1)); done; "
                       "exit 1",
                       5),
            75);
  EXPECT_EQ(runs(), 1);
}

}  // namespace
}  // namespace retinue::launcher
