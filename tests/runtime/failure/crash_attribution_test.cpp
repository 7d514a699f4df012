#include "runtime/failure/crash_attribution.h"

#include "runtime/output/journal.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CrashAttributionTest : public testing::Test {
 protected:
  CrashAttributionTest() { std::filesystem::create_directories(folder_.path("journal")); }

  /// A segment that takes some items and ends others.
  void segment(int rank, int epoch, std::initializer_list<int> taken,
               std::initializer_list<int> ended) {
    SegmentWriter writer(segment_path(folder_.path(), rank, epoch), 0);
    for (const int item : taken) writer.append(EntryType::kTaken, item, "{}");
    for (const int item : ended) writer.append(EntryType::kDone, item, "{}");
    writer.close();
  }
  void crash(int rank, int epoch, const std::string& line) {
    test::write_text(crash_report_path(folder_.path(), rank, epoch), line);
  }
  [[nodiscard]] Journal read() const { return {folder_.path(), 100}; }
  /// How many crashes are attributed to an item.
  [[nodiscard]] std::size_t crashes_of(std::int64_t item) const {
    const Journal journal = read();
    const auto found = journal.crash_attribution().by_item().find(item);
    return found == journal.crash_attribution().by_item().end() ? 0 : found->second.size();
  }

  test::TemporaryFolder folder_;
};

TEST_F(CrashAttributionTest, AKillFromOutsideBlamesNoItem) {
  segment(0, 0, {1, 2, 3}, {2});
  const Journal journal = read();
  EXPECT_THAT(journal.crash_attribution().by_item(), IsEmpty());
  EXPECT_THAT(journal.crash_attribution().suspects(), IsEmpty());
}

TEST_F(CrashAttributionTest, ANamedItemHasACrashForEachRun) {
  segment(0, 0, {1, 2, 3}, {2});
  crash(2, 0, "SIGSEGV 3 0\n");
  EXPECT_EQ(crashes_of(3), 1U);
  EXPECT_THAT(read().crash_attribution().suspects(), IsEmpty());
  crash(3, 0, "SIGSEGV 3 0\n");
  EXPECT_EQ(crashes_of(3), 1U) << "two ranks in one run";
  crash(0, 1, "SIGABRT 3 0\n");
  EXPECT_EQ(crashes_of(3), 2U);
  const Journal journal = read();
  EXPECT_EQ(journal.crash_attribution().by_item().at(3)[0].reason, "SIGSEGV");
  EXPECT_EQ(journal.crash_attribution().by_item().at(3)[1].epoch, 1);
  EXPECT_EQ(journal.next_epoch(), 2);
}

TEST_F(CrashAttributionTest, AllItemsInFlightAreSuspectsUntilOneIsLeft) {
  segment(0, 0, {1, 2, 3, 4, 5}, {2});
  segment(2, 0, {7, 8}, {});
  crash(1, 0, "SIGBUS -1 0\n");
  EXPECT_THAT(read().crash_attribution().suspects(), ElementsAre(1, 3, 4, 5));
  segment(0, 1, {1, 3}, {1});
  EXPECT_THAT(read().crash_attribution().suspects(), ElementsAre(3, 4, 5));
  segment(0, 2, {3, 4}, {});
  crash(0, 2, "SIGBUS -1 0\n");
  EXPECT_THAT(read().crash_attribution().suspects(), ElementsAre(3, 4));
  segment(0, 3, {3, 4}, {3});
  crash(0, 3, "SIGBUS -1 0\n");
  EXPECT_THAT(read().crash_attribution().suspects(), IsEmpty());
  EXPECT_EQ(crashes_of(4), 1U);
}

TEST_F(CrashAttributionTest, ACrashWithNothingInFlightChangesNothing) {
  segment(0, 0, {1, 3}, {});
  crash(0, 0, "SIGBUS -1 0\n");
  segment(0, 1, {}, {});
  crash(0, 1, "SIGSEGV -1 0\n");
  EXPECT_THAT(read().crash_attribution().suspects(), ElementsAre(1, 3));
}

TEST_F(CrashAttributionTest, AnItemThatEndsIsCleared) {
  crash(0, 0, "SIGSEGV 3 0\n");
  segment(0, 1, {3}, {3});
  EXPECT_EQ(crashes_of(3), 0U);
  crash(0, 2, "SIGSEGV 3 0\n");
  EXPECT_EQ(crashes_of(3), 1U);
}

TEST_F(CrashAttributionTest, TornOrForeignReportsAreIgnored) {
  const std::string whole = "SIGSEGV 12 3\n";
  ASSERT_TRUE(parse_crash_report(whole, 0, 0).has_value());
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_crash_report(whole.substr(0, size), 0, 0)) << size;
  for (const char* text : {"SIG SEGV 1 0\n", " 1 0\n", "A -2 0\n", "A 1 -1\n", "A x 0\n",
                           "A 99999999999999999999 0\n"})
    EXPECT_FALSE(parse_crash_report(text, 0, 0)) << text;
}

}  // namespace
}  // namespace retinue::runtime
