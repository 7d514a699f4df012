#include "runtime/formats/parquet/writer.h"

#include "parallel/base/check.h"
#include "runtime/formats/parquet/reader.h"
#include "tests/support/job_ranks.h"

#include <gtest/gtest.h>

#include <optional>

namespace retinue::runtime {
namespace {

using Row = std::vector<ParquetValue>;
using Values = std::vector<std::optional<std::string>>;

const std::vector<ParquetField> kFields = {{"text", ParquetKind::kText},
                                           {"bytes", ParquetKind::kBinary},
                                           {"number", ParquetKind::kInt64},
                                           {"ids", ParquetKind::kInt32List},
                                           {"scores", ParquetKind::kFloatList}};

class ParquetWriterTest : public testing::Test {
 protected:
  const test::TemporaryFolder folder_;
  const std::string path_ = folder_.path("table.parquet");
};

TEST_F(ParquetWriterTest, EveryKindOfCellIsReadBack) {
  const std::vector<std::int32_t> ids = {1, -2, 3};
  const std::vector<float> scores = {0.5F};
  {
    ParquetWriter writer(path_, kFields);
    writer.add(Row{"a cat", std::string_view("\0\xFF", 2), std::int64_t{-5}, std::span(ids),
                   std::span(scores)});
    writer.add(Row(kFields.size()));  // all absent
    writer.add(
        Row{"", "", std::int64_t{0}, std::span<const std::int32_t>(), std::span<const float>()});
    writer.commit();
  }
  const auto file = ParquetFile::open(path_).value();
  ASSERT_EQ(file->rows(), 3);
  const std::vector<Values> first = {
      {"a cat"}, {std::string("\0\xFF", 2)}, {"-5"}, {"1", "-2", "3"}, {"0.5"}};
  const std::vector<Values> last = {{""}, {""}, {"0"}, {}, {}};
  for (int column = 0; column < static_cast<int>(kFields.size()); ++column) {
    const auto i = static_cast<std::size_t>(column);
    EXPECT_EQ(file->columns()[i].list, i >= 3);
    EXPECT_EQ(file->cell(0, column).value().values, first[i]) << kFields[i].name;
    EXPECT_TRUE(file->cell(1, column).value().null) << kFields[i].name;
    EXPECT_FALSE(file->cell(2, column).value().null) << kFields[i].name;
    EXPECT_EQ(file->cell(2, column).value().values, last[i]) << kFields[i].name;
  }
}

TEST_F(ParquetWriterTest, ManyRowsTakeSeveralPagesAndRowGroups) {
  constexpr std::int64_t kRows = 100'001;  // a row group holds 100,000, a page 20,000
  {
    ParquetWriter writer(path_, {{"number", ParquetKind::kInt64}});
    for (std::int64_t row = 0; row < kRows; ++row) writer.add(Row{row});
    writer.commit();
  }
  const auto file = ParquetFile::open(path_).value();
  ASSERT_EQ(file->rows(), kRows);
  for (const std::int64_t row : {std::int64_t{0}, std::int64_t{19'999}, std::int64_t{20'000},
                                 std::int64_t{99'999}, std::int64_t{100'000}})
    EXPECT_EQ(file->cell(row, 0).value().values, Values{std::to_string(row)});
}

TEST_F(ParquetWriterTest, WithoutCommitNothingRemains) {
  { ParquetWriter(path_, kFields).add(Row(kFields.size())); }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(ParquetWriterTest, ACellOfAnotherKindIsABug) {
  ParquetWriter writer(path_, {{"number", ParquetKind::kInt64}});
  EXPECT_THROW(writer.add(Row{"text"}), BugError);
  EXPECT_THROW(writer.add(Row{}), BugError);
}

}  // namespace
}  // namespace retinue::runtime
