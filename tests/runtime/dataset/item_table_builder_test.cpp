#include "runtime/dataset/item_table_builder.h"

#include "parallel/base/check.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ItemTableBuilderTest : public testing::Test {
 protected:
  std::unique_ptr<ItemTableBuilder> list(const std::string& manifest) {
    std::istringstream in(manifest);
    SourceOptions options;
    options.inputs = {"-"};
    return std::make_unique<ItemTableBuilder>(folder_.path(), options, in);
  }
  std::string table() { return table_folder(folder_.path()); }

  const std::string ab_ = "{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"b\",\"prompt\":\"y\"}\n";
  test::TemporaryFolder folder_;
};

TEST_F(ItemTableBuilderTest, IsPublishedOnceAndListingAgainLeavesItAlone) {
  list(ab_)->publish();
  EXPECT_EQ(ItemTable(table()).size(), 2U);
  const auto written = fs::last_write_time(table() + "/items");
  {
    const auto again = list(ab_);
    EXPECT_EQ(again->difference(), "");
    again->publish();
  }
  EXPECT_EQ(fs::last_write_time(table() + "/items"), written);
  EXPECT_FALSE(fs::exists(table() + ".part"));
}

TEST_F(ItemTableBuilderTest, OtherInputsAreNamedByTheirFirstDifferenceAndTheOldTableStays) {
  list(ab_)->publish();
  const std::string before = test::read_text(table() + "/items");
  EXPECT_THAT(
      list("{\"id\":\"a\",\"prompt\":\"x\"}\n{\"id\":\"b\",\"prompt\":\"z\"}\n")->difference(),
      testing::AllOf(HasSubstr("number 2: was \"b\" of -:2, asks \"y\""),
                     HasSubstr("now \"b\" of -:2, asks \"z\"")));
  EXPECT_THAT(list("{\"id\":\"a\",\"prompt\":\"x\"}\n")->difference(), HasSubstr("now none"));
  EXPECT_EQ(test::read_text(table() + "/items"), before);
  EXPECT_FALSE(fs::exists(table() + ".part"));
}

TEST_F(ItemTableBuilderTest, ATornOrDamagedTableIsMadeAnew) {
  list(ab_)->publish();
  const std::string whole = test::read_text(table() + "/items");
  for (const std::string& damage :
       {std::string(), whole.substr(0, whole.size() / 2), std::string(whole.size(), 'x')}) {
    test::write_text(table() + "/items", damage);
    const auto again = list(ab_);
    EXPECT_EQ(again->difference(), "");
    again->publish();
    EXPECT_EQ(test::read_text(table() + "/items"), whole);
  }
  // What a killed start left.
  fs::rename(table(), table() + ".part");
  fs::remove(table() + ".part/table.json");
  list(ab_)->publish();
  EXPECT_EQ(ItemTable(table()).size(), 2U);
}

TEST_F(ItemTableBuilderTest, ATableUnderItsEarlierNameIsContinued) {
  list(ab_)->publish();
  const auto written = fs::last_write_time(table() + "/items");
  const std::string earlier = folder_.path("manifest");
  fs::rename(table(), earlier);
  fs::create_directory(earlier + ".part");
  {
    const auto again = list(ab_);
    EXPECT_EQ(again->difference(), "");
    again->publish();
  }
  EXPECT_EQ(fs::last_write_time(table() + "/items"), written);
  EXPECT_FALSE(fs::exists(earlier));
  EXPECT_FALSE(fs::exists(earlier + ".part"));
  // Where both are there, the newer name holds.
  fs::create_directory(earlier);
  EXPECT_EQ(list(ab_)->difference(), "");
  EXPECT_EQ(fs::last_write_time(table() + "/items"), written);
}

TEST_F(ItemTableBuilderTest, NothingRemainsOfInputsThatCannotBeListed) {
  EXPECT_THROW(list("\n"), UsageError);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace retinue::runtime
