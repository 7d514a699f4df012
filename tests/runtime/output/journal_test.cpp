#include "runtime/output/journal.h"

#include "parallel/base/check.h"
#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace retinue::runtime {
namespace {

class JournalTest : public testing::Test {
 protected:
  JournalTest() { std::filesystem::create_directories(folder_.path("journal")); }

  void write_segment(int rank, int epoch) {
    SegmentWriter writer(segment_path(folder_.path(), rank, epoch), 0);
    writer.append(EntryType::kStart, epoch, "{}");
    writer.append(EntryType::kDone, 0, R"({"id":"a","caption":"x y"})");
    writer.append(EntryType::kFail, 1, R"({"id":"b"})");
    writer.append(EntryType::kDone, 3, R"({"id":"d"})");
    writer.close();
  }

  test::TemporaryFolder folder_;
};

TEST_F(JournalTest, GivesBackWhatWasWritten) {
  EXPECT_EQ(Journal(folder_.path(), 4).next_epoch(), 0);
  write_segment(2, 4);
  const Journal journal(folder_.path(), 4);
  EXPECT_TRUE(journal.done(0) && journal.failed(1) && journal.done(3));
  EXPECT_FALSE(journal.done(2) || journal.failed(2) || journal.done(1));
  EXPECT_EQ(journal.text(0), R"({"id":"a","caption":"x y"})");
  EXPECT_EQ(journal.text(1), R"({"id":"b"})");
  EXPECT_EQ(journal.done_count(), 2);
  EXPECT_EQ(journal.next_epoch(), 5);
  EXPECT_EQ(journal.starts(), std::vector<std::string>{"{}"});
  EXPECT_EQ(journal.damaged_lines(), 0);
}

// Writes to an open file succeed wherever its folder is.
TEST_F(JournalTest, ASegmentWhoseFolderIsMovedOrDeletedOrReplacedIsReported) {
  const std::string path = segment_path(folder_.path(), 0, 0);
  for (const int how : {0, 1, 2}) {
    SegmentWriter writer(path, 0);
    writer.append(EntryType::kStart, 0, "{}");
    EXPECT_NO_THROW(writer.verify_place());
    if (how == 0) std::filesystem::rename(folder_.path("journal"), folder_.path("elsewhere"));
    if (how == 1) std::filesystem::remove_all(folder_.path("journal"));
    if (how == 2) std::filesystem::remove(path), test::write_text(path, "another file");
    try {
      writer.close();
      ADD_FAILURE() << how;
    } catch (const SystemError& error) {
      EXPECT_NE(std::string(error.what()).find("is gone"), std::string::npos) << error.what();
    }
    std::filesystem::create_directories(folder_.path("journal"));
    std::filesystem::remove(path);
  }
}

// Threads that prepare requests may begin with an item while the job stops.
TEST_F(JournalTest, ItemsAreTakenWhileAndAfterTheSegmentIsClosed) {
  const std::string path = segment_path(folder_.path(), 0, 0);
  SegmentWriter writer(path, 1);
  std::vector<std::jthread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) writer.append(EntryType::kTaken, 0, "{}");
    });
  writer.append(EntryType::kDone, 1, "{}");
  EXPECT_NO_THROW(writer.close());
  const auto bytes = std::filesystem::file_size(path);
  EXPECT_NO_THROW(writer.append(EntryType::kTaken, 2, "{}"));
  EXPECT_THROW(writer.append(EntryType::kDone, 2, "{}"), BugError);
  threads.clear();
  EXPECT_EQ(std::filesystem::file_size(path), bytes);
  EXPECT_EQ(Journal(folder_.path(), 3).damaged_lines(), 0);
}

TEST_F(JournalTest, CutAtAnyByteItLosesAtMostTheTornEntry) {
  write_segment(0, 0);
  const std::string path = segment_path(folder_.path(), 0, 0);
  const std::string whole = test::read_text(path);
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < whole.size(); ++i)
    if (whole[i] == '\n') ends.push_back(i + 1);
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    test::write_text(path, whole.substr(0, size));
    const Journal journal(folder_.path(), 4);
    EXPECT_EQ(journal.done(0), size >= ends[1]) << size;
    EXPECT_EQ(journal.failed(1), size >= ends[2]) << size;
    EXPECT_EQ(journal.done(3), size >= ends[3]) << size;
    EXPECT_EQ(journal.next_epoch(), 1) << size;
  }
}

TEST_F(JournalTest, ADamagedByteCostsItsLineAlone) {
  write_segment(0, 0);
  const std::string path = segment_path(folder_.path(), 0, 0);
  const std::string whole = test::read_text(path);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x04);
    test::write_text(path, damaged);
    const Journal journal(folder_.path(), 4);
    // A line end that is lost joins two lines.
    EXPECT_GE(journal.done_count() + journal.failed_count() +
                  static_cast<std::int64_t>(journal.starts().size()),
              whole[at] == '\n' ? 2 : 3)
        << at;
    if (journal.done(0)) {
      EXPECT_EQ(journal.text(0), R"({"id":"a","caption":"x y"})");
    }
  }
}

TEST_F(JournalTest, TheNewestEpochWins) {
  write_segment(0, 0);
  {
    SegmentWriter writer(segment_path(folder_.path(), 1, 10), 5);
    writer.append(EntryType::kDone, 1, R"({"id":"b","caption":"now"})");
    writer.close();
  }
  write_segment(3, 9);
  const Journal journal(folder_.path(), 4);
  EXPECT_TRUE(journal.done(1));
  EXPECT_EQ(journal.text(1), R"({"id":"b","caption":"now"})");
  EXPECT_EQ(journal.next_epoch(), 11);
}

TEST_F(JournalTest, OtherFilesAndForeignIndicesArePassedOver) {
  write_segment(0, 0);
  test::write_text(folder_.path("journal/notes.txt"), "hello");
  test::write_text(folder_.path("journal/r1.e2.seg.bak"), "hello");
  const Journal journal(folder_.path(), 2);
  EXPECT_EQ(journal.done_count(), 1);
  EXPECT_EQ(journal.next_epoch(), 1);
}

TEST_F(JournalTest, CountsAsDurableWhatASyncHasSeen) {
  SegmentWriter slow(segment_path(folder_.path(), 0, 0), 60'000);
  EXPECT_EQ(slow.append(EntryType::kDone, 0, "{}"), 1);
  EXPECT_EQ(slow.append(EntryType::kDone, 1, "{}"), 2);
  EXPECT_EQ(slow.durable(), 0);
  slow.close();
  EXPECT_EQ(slow.durable(), 2);
  SegmentWriter at_once(segment_path(folder_.path(), 1, 0), 0);
  EXPECT_EQ(at_once.append(EntryType::kFail, 2, "{}"), 1);
  EXPECT_EQ(at_once.durable(), 1);
  SegmentWriter grouped(segment_path(folder_.path(), 2, 0), 1);
  EXPECT_EQ(grouped.append(EntryType::kDone, 3, "{}"), 1);
  for (int i = 0; grouped.durable() < 1 && i < 60'000; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(grouped.durable(), 1) << "no sync within a minute";
}

TEST_F(JournalTest, AnItemThatWasTakenIsNeitherDoneNorFailed) {
  {
    SegmentWriter writer(segment_path(folder_.path(), 0, 0), 0);
    writer.append(EntryType::kTaken, 0, "{}");
    writer.append(EntryType::kDone, 0, R"({"id":"a"})");
    writer.append(EntryType::kTaken, 1, "{}");
    writer.append(EntryType::kTaken, 0, "{}");
  }
  const Journal journal(folder_.path(), 2);
  EXPECT_TRUE(journal.done(0));
  EXPECT_FALSE(journal.done(1) || journal.failed(1));
  EXPECT_EQ(journal.done_lines(), 1);
  EXPECT_EQ(journal.damaged_lines(), 0);
}

TEST(SegmentWriter, ReportsAFullDisk) {
  SegmentWriter writer("/dev/full", 0);
  EXPECT_THROW(writer.append(EntryType::kDone, 0, "{}"), SystemError);
  EXPECT_THROW(writer.append(EntryType::kDone, 0, "{}"), SystemError) << "stays full";
  EXPECT_EQ(writer.durable(), 0);
}

}  // namespace
}  // namespace retinue::runtime
