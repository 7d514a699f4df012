#include "runtime/formats/parquet/nested.h"

#include "tests/support/job_ranks.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

const std::string kGolden = RETINUE_SOURCE_DIR "/tests/golden/parquet/";

const Json& nested_files() {
  static const Json kManifest = Json::parse(test::read_text(kGolden + "manifest.json"))["nested"];
  return kManifest;
}

std::string golden_file(const std::string& name) { return kGolden + "files/" + name + ".parquet"; }

std::shared_ptr<const ParquetFile> open_file(const std::string& path, std::int64_t cache_bytes) {
  auto file = ParquetFile::open(path, {.cache_bytes = cache_bytes, .max_page_bytes = 1 << 20});
  return file.ok() ? *file : nullptr;
}

/// The JSON with binary values fetched from their cells, as the manifest has them.
Json fetched(const ParquetFile& file, std::int64_t row, const Json& json) {
  if (json.is_binary()) {
    const auto& place = json.get_binary();
    const auto column = file.find(std::string(place.begin(), place.end()));
    const auto cell = file.cell(row, column.value());
    std::string hex;
    for (const unsigned char byte : cell.value().values.at(place.subtype()).value())
      hex += fmt::format("{:02x}", byte);
    return {{"hex", hex}};
  }
  Json out = json;
  if (json.is_structured())
    for (auto& element : out) element = fetched(file, row, element);
  return out;
}

TEST(ParquetNested, EveryRowIsTheJsonOfPyarrowInEveryOrder) {
  int rows = 0;
  for (const auto& [name, columns] : nested_files().items())
    for (const std::int64_t cache_bytes : {std::int64_t{1} << 20, std::int64_t{1}}) {
      const auto file = open_file(golden_file(name), cache_bytes);
      ASSERT_NE(file, nullptr) << name;
      ASSERT_EQ(file->schema().size(), columns.size()) << name;
      for (const ParquetNode& node : file->schema()) {
        ParquetJson reader(file, node);
        for (std::int64_t i = 0; i < file->rows(); ++i, ++rows) {
          const std::int64_t row = cache_bytes == 1 ? file->rows() - 1 - i : i;
          const auto got = reader.value(row);
          ASSERT_TRUE(got.ok()) << name << ": " << got.error().message;
          EXPECT_EQ(fetched(*file, row, *got), columns[node.name][static_cast<std::size_t>(row)])
              << name << " " << node.name << " " << row << " " << type_of(node);
        }
      }
    }
  EXPECT_GT(rows, 700);
}

TEST(ParquetNested, NamesTypesAsArrowDoes) {
  const auto file = open_file(golden_file("nested_v1"), 1);
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(type_of(file->schema()[0]),
            "list<struct<role: string, content: list<struct<type: string, text: string, image: "
            "struct<bytes: binary, path: string>>>>>");
}

/// The errors of all columns of a file, whatever its bytes.
std::set<std::string> faults_of(const std::string& path) {
  std::set<std::string> faults;
  const auto file = open_file(path, 1 << 16);
  if (file == nullptr) return {"no file"};
  for (const ParquetNode& node : file->schema()) {
    ParquetJson reader(file, node);
    for (std::int64_t row = 0; row < std::min<std::int64_t>(file->rows(), 50); ++row)
      if (const auto got = reader.value(row); !got.ok())
        faults.insert(got.error().message.substr(got.error().message.rfind(": ") + 2));
  }
  return faults;
}

TEST(ParquetNested, WrongBytesGiveErrorsAndWrongLevelsAreSeen) {
  const test::TemporaryFolder folder;
  std::set<std::string> faults;
  for (const char* name : {"nested_v1", "nested_v2", "nested_3"}) {
    const std::string whole = test::read_text(golden_file(name));
    EXPECT_THAT(faults_of(golden_file(name)), testing::IsEmpty());
    for (std::size_t at = 4; at < whole.size(); at += 8) {
      std::string wrong = whole;
      wrong[at] = static_cast<char>(wrong[at] ^ (at % 3 == 0 ? 1 : at % 3 == 1 ? 2 : 0xFF));
      faults.merge(faults_of(folder.write("wrong", wrong)));
    }
  }
  EXPECT_THAT(faults, testing::Contains("its leaves disagree about what is absent"));
  EXPECT_THAT(faults, testing::Contains("its leaves disagree about the length of a list"));
}

TEST(ParquetNested, ARowThatIsTooLargeIsAnError) {
  const auto file = open_file(golden_file("nested_v1"), 1);
  ASSERT_NE(file, nullptr);
  ParquetCursor cursor(file, 0);
  std::int64_t bytes_left = 50;
  std::vector<ParquetEntry> entries;
  const auto read = cursor.entries(0, bytes_left, entries);
  ASSERT_FALSE(read.ok());
  EXPECT_THAT(read.error().message, HasSubstr("row that is too large"));
}

}  // namespace
}  // namespace retinue::runtime
