#include "runtime/formats/parquet/reader.h"

#include "parallel/base/rng.h"
#include "runtime/formats/parquet/nested.h"
#include "runtime/formats/parquet/writer.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <atomic>
#include <thread>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

const std::string kGolden = RETINUE_SOURCE_DIR "/tests/golden/parquet/";

std::string golden_file(const std::string& name) { return kGolden + "files/" + name + ".parquet"; }

const Json& manifest() {
  static const Json kManifest = Json::parse(test::read_text(kGolden + "manifest.json"));
  return kManifest;
}

std::shared_ptr<const ParquetFile> open_file(const std::string& path,
                                             const ParquetOptions& options = {}) {
  auto file = ParquetFile::open(path, options);
  return file.ok() ? *file : throw std::runtime_error(file.error().message);
}

/// The error of open(); empty without one.
std::string refusal(const std::string& path) {
  const auto file = ParquetFile::open(path);
  return file.ok() ? "" : file.error().message;
}

/// The rule of picture() in scripts/golden/parquet_files.py.
std::string image(std::uint32_t seed, std::size_t size) {
  std::uint32_t state = seed * 2654435761U + 1;
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) {
    state = state * 1664525U + 1013904223U;
    bytes.push_back(static_cast<char>(state >> 24));
  }
  return bytes;
}

std::optional<std::string> expected_value(const Json& written) {
  if (written.is_null()) return std::nullopt;
  if (written.is_object()) return image(written["picture"][0], written["picture"][1]);
  return written.get<std::string>();
}

ParquetCell expected_cell(const Json& written) {
  ParquetCell cell{.null = written.is_null(), .values = {}};
  if (written.is_array())
    for (const Json& each : written) cell.values.push_back(expected_value(each));
  else if (!cell.null)
    cell.values.push_back(expected_value(written));
  return cell;
}

void expect_cell(const Result<ParquetCell>& cell, const Json& written, const std::string& where) {
  ASSERT_TRUE(cell.ok()) << where << ": " << cell.error().message;
  const ParquetCell expected = expected_cell(written);
  EXPECT_EQ(cell.value().null, expected.null) << where;
  EXPECT_EQ(cell.value().values, expected.values) << where;
}

TEST(Parquet, ReadsEveryCellThatPyarrowWroteInEveryOrder) {
  const std::size_t columns = manifest()["columns"].size();
  for (const auto& [name, rows] : manifest()["rows"].items())
    for (const std::int64_t cache_bytes : {std::int64_t{1} << 20, std::int64_t{1}}) {
      const auto file = open_file(golden_file(name), {.cache_bytes = cache_bytes});
      ASSERT_EQ(file->rows(), rows.get<std::int64_t>()) << name;
      ASSERT_EQ(file->columns().size(), columns) << name;
      for (const auto& [path, cells] : manifest()["columns"].items()) {
        const auto column = file->column(path);
        ASSERT_TRUE(column.ok()) << column.error().message;
        ParquetCursor cursor(file, *column);
        for (std::int64_t row = 0; row < file->rows(); ++row) {
          const std::string where = name + " " + path + " " + std::to_string(row);
          expect_cell(cursor.cell(row), cells[static_cast<std::size_t>(row)], where);
          const std::int64_t other = row * 23 % file->rows();
          expect_cell(file->cell(other, *column), cells[static_cast<std::size_t>(other)], where);
        }
      }
    }
}

TEST(Parquet, DescribesItsColumns) {
  const auto file = open_file(golden_file("plain_v1"));
  const auto& columns = file->columns();
  const auto at = [&](const char* path) {
    return columns[static_cast<std::size_t>(file->column(path).value())];
  };
  EXPECT_EQ(at("image.bytes").type, "binary");
  EXPECT_FALSE(at("image.bytes").list);
  EXPECT_TRUE(at("images.bytes").list);
  EXPECT_TRUE(at("image.path").text);
  EXPECT_EQ(at("unsigned").type, "uint64");
  EXPECT_EQ(file->find("image"), std::nullopt);
  EXPECT_THAT(file->column("picture").error().message,
              testing::AllOf(HasSubstr("no column picture"), HasSubstr("image.bytes (binary)"),
                             HasSubstr("tags (list of string)")));
}

TEST(Parquet, RefusesUnsupportedColumnsByNameAndReadsTheOthers) {
  for (const auto& [name, columns] : manifest()["refused"].items()) {
    const auto file = open_file(golden_file(name));
    for (const auto& [path, word] : columns.items()) {
      const auto column = file->find(path);
      ASSERT_TRUE(column) << path;
      const auto cell = file->cell(0, *column);
      ASSERT_FALSE(cell.ok()) << name;
      EXPECT_THAT(cell.error().message,
                  testing::AllOf(HasSubstr(word.get<std::string>()), HasSubstr(name),
                                 HasSubstr("column " + path)));
      EXPECT_EQ(cell.error().stage, "read");
    }
  }
  const auto file = open_file(golden_file("refused_encoding"));
  expect_cell(file->cell(1, file->column("id").value()), "b", "beside a refused column");
  EXPECT_THAT(open_file(golden_file("refused_types"))->column("when").error().message,
              HasSubstr("int96"));
}

TEST(Parquet, NamesAFileThatIsNoParquet) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(refusal(folder.path("gone.parquet")), HasSubstr("gone.parquet: No such file"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("is no file"));
  EXPECT_THAT(refusal(folder.write("short", "PAR1")), HasSubstr("too short"));
  EXPECT_THAT(refusal(folder.write("text", "id,caption\n1,a cat\n2,a dog\n")),
              HasSubstr("begins otherwise"));
  EXPECT_THAT(refusal(folder.write("secret", "PAR1aaaabbbbPARE")), HasSubstr("encrypted"));
  EXPECT_THAT(refusal(folder.write("long", std::string("PAR1\xff\xff\xff\x7fPAR1"))),
              HasSubstr("longer than the file"));
}

TEST(Parquet, IsReadByManyThreadsThroughASmallCache) {
  const auto file = open_file(golden_file("small_pages_v1"), {.cache_bytes = 2000});
  std::vector<std::jthread> threads;
  std::atomic<int> wrong = 0;
  for (std::uint64_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 3000; ++i) {
        const auto row = static_cast<std::int64_t>(random_bits(thread, i) % 36);
        const char* path = i % 3 == 0 ? "image.bytes" : i % 3 == 1 ? "images.bytes" : "caption";
        const auto cell = file->cell(row, file->column(path).value());
        const ParquetCell expected =
            expected_cell(manifest()["columns"][path][static_cast<std::size_t>(row)]);
        if (!cell.ok() || cell.value().null != expected.null ||
            cell.value().values != expected.values)
          ++wrong;
      }
    });
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

TEST(Parquet, FollowsARowOfAListFromPageToPage) {
  // Our own writer ends a page with a row, as pyarrow does today and did not always: its level that
  // begins the second and third page is turned from "a row begins" into "the row goes on".
  const test::TemporaryFolder folder;
  const std::string path = folder.path("list.parquet");
  {
    ParquetWriter writer(path, {{"list", ParquetKind::kInt32List}});
    for (std::int32_t row = 0; row < 5; ++row) {
      const std::vector<std::int32_t> list(30000, row);
      writer.add(std::vector<ParquetValue>{std::span<const std::int32_t>(list)});
    }
    writer.commit();
  }
  std::string bytes = test::read_text(path);
  // 3752 bytes of levels, a packed run of 3750 groups, a zero and ones.
  const std::string levels("\xA8\x0E\0\0\xCD\x3A\xFE\xFF", 8);
  std::size_t at = bytes.find(levels);
  for (int page = 1; page < 3; ++page) {
    at = bytes.find(levels, at + 1);
    ASSERT_NE(at, std::string::npos);
    bytes[at + 6] = static_cast<char>(0xFF);
  }
  for (const std::int64_t cache_bytes : {std::int64_t{1}, std::int64_t{1} << 24}) {
    const auto file = open_file(folder.write("long.parquet", bytes), {.cache_bytes = cache_bytes});
    std::vector<std::optional<std::string>> whole;
    for (const char* value : {"0", "1", "2"}) whole.insert(whole.end(), 30000, value);
    EXPECT_EQ(file->cell(1, 0).value().values.front(), "3") << "two rows fewer begin";
    EXPECT_EQ(file->cell(0, 0).value().values, whole);
    EXPECT_EQ(file->cell(2, 0).value().values.size(), 30000U);
    ParquetJson rows(file, file->schema()[0]);
    EXPECT_EQ(rows.value(0).value().size(), whole.size());
    EXPECT_EQ(rows.value(2).value(), Json(std::vector<int>(30000, 4)));
    EXPECT_THAT(file->cell(3, 0).error().message, HasSubstr("fewer rows than the footer says"));
  }
}

/// Reads every column; returns how many could not be read, or -1 without a footer.
int read_all(const std::string& path) {
  const auto file = ParquetFile::open(path, {.cache_bytes = 1 << 16, .max_page_bytes = 1 << 20});
  if (!file.ok()) return -1;
  int failed = 0;
  for (int column = 0; column < static_cast<int>((*file)->columns().size()); ++column) {
    ParquetCursor cursor(*file, column);
    bool good = true;
    for (std::int64_t row = 0; good && row < std::min<std::int64_t>((*file)->rows(), 200); ++row)
      good = cursor.cell(row).ok();
    failed += good ? 0 : 1;
  }
  return failed;
}

TEST(Parquet, IsRefusedWhenItIsCutAnywhere) {
  const test::TemporaryFolder folder;
  const std::string whole = test::read_text(golden_file("dictionary_v1_snappy"));
  for (std::size_t size = 0; size<whole.size(); size += size + 20> whole.size() ? 1 : 97)
    EXPECT_EQ(read_all(folder.write("cut", whole.substr(0, size))), -1) << size;
}

TEST(Parquet, SurvivesBytesThatAreWrong) {
  const test::TemporaryFolder folder;
  for (const char* name : {"plain_v2_zstd", "small_pages_v1"}) {
    const std::string whole = test::read_text(golden_file(name));
    for (std::size_t at = 0; at < whole.size(); at += 29) {
      std::string wrong = whole;
      wrong[at] = static_cast<char>(wrong[at] ^ (at % 4 < 2 ? 0xFF : 0x41));
      (void)read_all(folder.write("wrong", wrong));
    }
  }
}

TEST(Parquet, NamesThePageWhoseChecksumIsWrong) {
  const test::TemporaryFolder folder;
  std::string bytes = test::read_text(golden_file("checksums_and_index"));
  const auto whole = open_file(folder.write("whole.parquet", bytes));
  // The first page follows the header of its chunk, a few dozen bytes into the file.
  bytes[70] = static_cast<char>(bytes[70] ^ 1);
  const auto file = open_file(folder.write("flipped.parquet", bytes));
  ASSERT_TRUE(whole->cell(0, 0).ok());
  const auto cell = file->cell(0, 0);
  ASSERT_FALSE(cell.ok());
  EXPECT_THAT(
      cell.error().message,
      HasSubstr("flipped.parquet: column id, row group 0, page 0 is damaged: its checksum"));
}

TEST(Parquet, ReportsAFileThatHasBecomeShorter) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("list.parquet", test::read_text(golden_file("plain_v1")));
  const auto file = open_file(path);
  std::filesystem::resize_file(path, 100);
  EXPECT_THAT(file->cell(0, file->column("image.bytes").value()).error().message,
              HasSubstr("shorter since it was opened"));
}

TEST(Parquet, RefusesPagesAboveTheLimit) {
  const auto file = open_file(golden_file("plain_v1"), {.max_page_bytes = 300});
  EXPECT_THAT(file->cell(0, 0).error().message, HasSubstr("300 bytes are the limit"));
}

}  // namespace
}  // namespace retinue::runtime
