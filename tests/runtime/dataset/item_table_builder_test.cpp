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
  test::write_text(folder_.path("job.json"), "{}");
  {
    const auto again = list(ab_);
    EXPECT_EQ(again->difference(), "");
    again->publish();
  }
  EXPECT_EQ(fs::last_write_time(table() + "/items"), written);
  EXPECT_FALSE(fs::exists(earlier));
  // Where both are there, the newer name holds.
  fs::create_directory(earlier);
  test::write_text(earlier + "/table.json", "{}");
  EXPECT_EQ(list(ab_)->difference(), "");
  EXPECT_EQ(fs::last_write_time(table() + "/items"), written);
  EXPECT_TRUE(fs::exists(earlier));
}

TEST_F(ItemTableBuilderTest, AFolderOfTheUsersThatIsCalledManifestStays) {
  fs::create_directory(folder_.path("manifest"));
  test::write_text(folder_.path("manifest/train.jsonl"), "{}");
  list(ab_)->publish();
  EXPECT_EQ(test::read_text(folder_.path("manifest/train.jsonl")), "{}");
}

// A job of an earlier version resumes only where its items hash alike, errors of items included: the
// hash is the one that the version before this folder's present name wrote.
TEST_F(ItemTableBuilderTest, ErrorsOfItemsHashAsInEarlierVersions) {
  const auto items = list(
      "{\"id\": \"a\", \"prompt\": \"one\"}\n"
      "{\"id\": \"a\", \"prompt\": \"two\"}\n"
      "{\"id\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": \"x\"}], \"prompt\": "
      "\"y\"}\n"
      "{\"id\": \"c\"}\n"
      "not JSON\n"
      "{\"id\": 3.5, \"prompt\": \"z\"}\n");
  EXPECT_EQ(items->items().sha256(),
            "867490e154c52610ef0df7b845cae09cb5cce1eab059f146287ed289194c99b6");
}

TEST_F(ItemTableBuilderTest, NothingRemainsOfInputsThatCannotBeListed) {
  EXPECT_THROW(list("\n"), UsageError);
  EXPECT_TRUE(fs::is_empty(folder_.path()));
}

}  // namespace
}  // namespace retinue::runtime
