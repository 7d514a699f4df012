#include "runtime/dataset/parquet_items.h"

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

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

std::string golden(const std::string& name) {
  return test::golden_folder() + "/../table_files/" + name;
}

ItemTable list(const std::string& path) {
  std::istringstream none;
  SourceOptions options;
  options.inputs = {path};
  return list_table(options, none, "");
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
      EXPECT_EQ(item.prompt.value_or("none"), row.value("prompt", "none"));
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

TEST(ParquetItems, ATableOfOtherThingsIsRefusedAndOneThatIsCutIsAFailedItem) {
  const test::TemporaryFolder folder;
  try {
    list(golden("other_columns.parquet"));
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("There are: label"));
  }
  const std::string whole = test::read_text(golden("struct.parquet"));
  test::write_text(folder.path("cut.parquet"), whole.substr(0, whole.size() / 2));
  const ItemTable items = list(folder.path("cut.parquet"));
  ASSERT_EQ(items.size(), 1U);
  EXPECT_THAT(items.item(0).error->message, HasSubstr("cut.parquet"));
}

}  // namespace
}  // namespace retinue::runtime
