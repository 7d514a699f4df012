#include "runtime/dataset/table/parquet_items.h"

#include "parallel/base/check.h"
#include "parallel/base/hash.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/source.h"
#include "runtime/media/media_decoder.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <sstream>
#include <tuple>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

std::string golden(const std::string& name) {
  return test::golden_folder() + "/../table_files/" + name;
}

ItemTable list(const std::string& path, GivenTexts given = {}) {
  std::istringstream none;
  SourceOptions options;
  options.inputs = {path};
  options.given = given;
  return list_table(options, none, "");
}

std::string refusal(const std::string& path) {
  try {
    list(path);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

/// Rows as manifest.json says that pyarrow wrote them.
TEST(ParquetItems, AreTheRowsThatPyarrowWrote) {
  const Json manifest = Json::parse(std::ifstream(golden("manifest.json")));
  for (const auto& [name, rows] : manifest["rows"].items()) {
    const ItemTable items = list(golden(name));
    ASSERT_EQ(items.size(), rows.size()) << name;
    OpenTables tables;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Item item = items.item(i);
      const Json& row = rows[i];
      if (row.contains("error")) {
        ASSERT_TRUE(item.error) << name << " " << i;
        EXPECT_THAT(item.error->message, HasSubstr(row["error"].get<std::string>()));
        continue;
      }
      ASSERT_FALSE(item.error) << name << " " << i << " " << item.error->message;
      EXPECT_EQ(item.id, row.contains("id") ? row["id"].get<std::string>()
                                            : golden(name) + ":" + std::to_string(i));
      EXPECT_EQ(item.prompt.value_or("none"), row.value("prompt", "none")) << name << " " << i;
      EXPECT_EQ(item.system.value_or("none"), row.value("system", "none")) << name << " " << i;
      if (row.contains("messages")) {
        EXPECT_EQ(Json::parse(item.messages), row["messages"]) << name << " " << i;
      }
      ASSERT_EQ(item.media.size(), row["media"].size()) << name << " " << i;
      for (std::size_t k = 0; k < item.media.size(); ++k) {
        const auto files = read_media(item.media[k], &tables);
        if (row["media"][k].is_null()) {
          EXPECT_FALSE(files.ok()) << name << " " << i;
          continue;
        }
        ASSERT_TRUE(files.ok()) << files.error().message;
        EXPECT_EQ(sha256_of(std::span(&files.value(), 1)), row["media"][k].get<std::string>())
            << name << " " << i;
      }
    }
  }
}

TEST(ParquetItems, TablesThatAskWhatIsNotReadAreRefusedOnceByTheirColumn) {
  const Json manifest = Json::parse(std::ifstream(golden("manifest.json")));
  for (const auto& [name, words] : manifest["refused"].items()) {
    const std::string got = refusal(golden(name));
    EXPECT_THAT(got, HasSubstr(golden(name)));
    for (const Json& word : words) EXPECT_THAT(got, HasSubstr(word.get<std::string>()));
  }
  const test::TemporaryFolder folder;
  test::write_text(folder.path("a.parquet"), "PAR1 and more PARE");
  EXPECT_THAT(refusal(folder.path("a.parquet")), HasSubstr("is encrypted"));
}

TEST(ParquetItems, AGivenPromptWinsOverThePromptsOfATableAndTheCountIsKept) {
  const auto noted = [](const std::string& name, GivenTexts given, std::size_t i) {
    const ItemTable items = list(golden(name), given);
    const Item item = items.item(i);
    return std::tuple{item.prompt.value_or("none"), item.system.value_or("none"),
                      describe(items.passed_over())};
  };
  const auto given = noted("questions.parquet", {.prompt = true, .system = true}, 0);
  EXPECT_EQ(std::get<0>(given), "none");
  EXPECT_EQ(std::get<1>(given), "none");
  EXPECT_THAT(std::get<2>(given), HasSubstr("prompt in the data: 2"));
  EXPECT_THAT(std::get<2>(given), HasSubstr("system in the data: 1"));
  const auto absent = noted("questions.parquet", {}, 0);
  EXPECT_EQ(std::get<0>(absent), "Who?");
  EXPECT_EQ(std::get<2>(absent),
            "column \"answer\": 1 (no column that is read: kept out of the answer)");
  // A text alone is its prompt, and messages are whole: they win.
  EXPECT_EQ(std::get<0>(noted("prompts.parquet", {.prompt = true}, 0)), "Hello");
  EXPECT_THAT(std::get<2>(noted("typed_texts.parquet", {.prompt = true}, 0)),
              HasSubstr("--prompt not used: 2"));
  // With a prompt for the whole job, the turns of a column that is not read do not matter.
  EXPECT_THAT(std::get<2>(noted("refused/chat.parquet", {.prompt = true}, 0)),
              HasSubstr("column \"chat\": 1"));
}

TEST(ParquetItems, ATableOfOtherThingsIsRefusedAndOneThatIsCutIsAFailedItem) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(refusal(golden("other_columns.parquet")), HasSubstr("There are: label"));
  const std::string whole = test::read_text(golden("struct.parquet"));
  test::write_text(folder.path("cut.parquet"), whole.substr(0, whole.size() / 2));
  const ItemTable items = list(folder.path("cut.parquet"));
  ASSERT_EQ(items.size(), 1U);
  EXPECT_THAT(items.item(0).error->message, HasSubstr("cut.parquet"));
}

}  // namespace
}  // namespace retinue::runtime
