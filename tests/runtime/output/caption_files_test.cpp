#include "runtime/output/caption_files.h"

#include "parallel/base/check.h"
#include "runtime/formats/parquet/reader.h"
#include "runtime/formats/parquet/writer.h"
#include "runtime/formats/tar_writer.h"
#include "runtime/output/record.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <set>

namespace retinue::runtime {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using namespace std::string_literals;

std::string record(const std::string& id, bool with_logprobs = false) {
  Record record;
  record.id = id;
  record.caption = "Ein Bär\nand \"" + id + "\"";
  record.finish_reason = "stop";
  record.prompt_tokens = 70;
  record.completion_tokens = 3;
  record.media.push_back(
      {.video = false, .paths = {"a/b.png"}, .width = 4, .height = 5, .visual_tokens = 6});
  record.with_logprobs = with_logprobs;
  if (with_logprobs) {
    record.token_ids = {5, -1, 151643};
    record.logprobs = {-0.5F, 0.0F, -12.25F};
  }
  return to_json(record);
}

void finalize(const std::string& folder, OutputFormat format,
              const std::vector<std::string>& records) {
  const auto files = caption_files(folder, format);
  for (const std::string& each : records)
    for (const auto& file : files) file->add(each);
  for (const auto& file : files) file->commit();
}

std::set<std::string> names_in(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

std::shared_ptr<const ParquetFile> open_file(const std::string& path) {
  auto file = ParquetFile::open(path);
  return file.ok() ? *file : throw std::runtime_error(file.error().message);
}

std::vector<std::optional<std::string>> cell(const ParquetFile& file, std::int64_t row,
                                             const char* column) {
  const auto cell = file.cell(row, file.column(column).value());
  EXPECT_TRUE(cell.ok()) << cell.error().message;
  return cell.ok() ? cell.value().values : std::vector<std::optional<std::string>>();
}

/// Name and content of every file of an archive, by ustar and pax.
std::vector<std::pair<std::string, std::string>> read_tar(const std::string& path) {
  const std::string bytes = test::read_text(path);
  std::vector<std::pair<std::string, std::string>> files;
  std::string long_name;
  std::size_t at = 0;
  while (bytes.at(at) != '\0') {
    EXPECT_EQ(bytes.substr(at + 257, 8), std::string("ustar\00000", 8));
    unsigned sum = 8 * ' ';
    for (std::size_t i = 0; i < 512; ++i)
      if (i < 148 || i >= 156) sum += static_cast<unsigned char>(bytes[at + i]);
    EXPECT_EQ(std::stoul(bytes.substr(at + 148, 6), nullptr, 8), sum);
    const std::size_t size = std::stoul(bytes.substr(at + 124, 11), nullptr, 8);
    std::string name = bytes.substr(at, 100);
    name.resize(std::min(name.find('\0'), name.size()));
    const std::string content = bytes.substr(at + 512, size);
    if (bytes[at + 156] == 'x') {
      const std::size_t begin = content.find("path=") + 5;
      EXPECT_EQ(std::stoul(content), content.size());
      long_name = content.substr(begin, content.size() - begin - 1);
    } else {
      files.emplace_back(long_name.empty() ? name : long_name, content);
      long_name.clear();
    }
    at += 512 + (size + 511) / 512 * 512;
  }
  EXPECT_EQ(bytes.size(), at + 1024);
  EXPECT_EQ(bytes.find_first_not_of('\0', at), std::string::npos);
  return files;
}

TEST(CaptionFiles, AreLinesAloneUnlessAskedForMore) {
  const test::TemporaryFolder folder;
  finalize(folder.path(), OutputFormat::kJsonl, {record("a"), record("b")});
  EXPECT_THAT(names_in(folder.path()), ElementsAre("captions.jsonl"));
  EXPECT_EQ(test::read_text(folder.path("captions.jsonl")),
            record("a") + "\n" + record("b") + "\n");
}

TEST(CaptionFiles, ParquetHoldsTheKeysOfARecordAsColumns) {
  const test::TemporaryFolder folder;
  finalize(folder.path(), OutputFormat::kParquet, {record("a"), record("b", true)});
  EXPECT_THAT(names_in(folder.path()), ElementsAre("captions.jsonl", "captions.parquet"));
  const auto file = open_file(folder.path("captions.parquet"));
  ASSERT_EQ(file->rows(), 2);
  std::vector<std::string> columns;
  for (const ParquetColumn& column : file->columns())
    columns.push_back(column.path + (column.list ? " list of " : " ") + column.type);
  EXPECT_THAT(columns, ElementsAre("id string", "caption string", "finish_reason string",
                                   "prompt_tokens int64", "completion_tokens int64", "input string",
                                   "sha256 string", "numerics string", "token_ids list of int32",
                                   "logprobs list of float", "top_logprobs string"));
  EXPECT_THAT(cell(*file, 1, "id"), ElementsAre("b"));
  EXPECT_THAT(cell(*file, 0, "caption"), ElementsAre("Ein Bär\nand \"a\""));
  EXPECT_THAT(cell(*file, 0, "prompt_tokens"), ElementsAre("70"));
  EXPECT_THAT(cell(*file, 0, "input"), ElementsAre(Json::parse(record("a"))["input"].dump()));
  EXPECT_TRUE(file->cell(0, file->column("sha256").value()).value().null);
  EXPECT_TRUE(file->cell(0, file->column("token_ids").value()).value().null);
  EXPECT_THAT(cell(*file, 1, "token_ids"), ElementsAre("5", "-1", "151643"));
  EXPECT_THAT(cell(*file, 1, "logprobs"), ElementsAre("-0.5", "0", "-12.25"));
}

TEST(CaptionFiles, WebdatasetHoldsEachRecordAndItsCaptionUnderOneKey) {
  const test::TemporaryFolder folder;
  const std::string deep(150, 'd');
  finalize(folder.path(), OutputFormat::kWebDataset, {record("cats/tom.jpg"), record(deep)});
  EXPECT_THAT(names_in(folder.path()), ElementsAre("captions-00000.tar", "captions.jsonl"));
  const auto files = read_tar(folder.path("captions-00000.tar"));
  ASSERT_EQ(files.size(), 4U);
  EXPECT_EQ(files[0], std::pair("cats/tom%2Ejpg.json"s, record("cats/tom.jpg")));
  EXPECT_EQ(files[1], std::pair("cats/tom%2Ejpg.txt"s, "Ein Bär\nand \"cats/tom.jpg\""s));
  EXPECT_EQ(files[2].first, deep + ".json");
  EXPECT_EQ(files[3].first, deep + ".txt");
}

TEST(CaptionFiles, WebdatasetKeysAreValidAndDifferWhereIdsDo) {
  const std::vector<std::string> ids = {"a",       "a.b",  "a_b", "a%2Eb", "../a", "/a",
                                        "a/",      "a//b", "a/b", "",      ".",    "%",
                                        "__a__/b", "_a",   "Bär", "a\\b",  "a\nb"};
  std::set<std::string> keys;
  for (const std::string& id : ids) {
    const std::string key = webdataset_key(id);
    EXPECT_TRUE(keys.insert(key).second) << key;
    EXPECT_EQ(key.find('.'), std::string::npos) << key;
    EXPECT_NE(key.back(), '/') << key;
    EXPECT_NE(key.front(), '/') << key;
  }
  EXPECT_EQ(webdataset_key("photos/Bär 1"), "photos/Bär 1");
  EXPECT_EQ(webdataset_key("../a"), "%2E%2E/a");
}

TEST(CaptionFiles, FormsThatAreThereAreMadeAnewAndOldArchivesGo) {
  const test::TemporaryFolder folder;
  std::vector<std::string> many;
  for (int i = 0; i < 20001; ++i) many.push_back(record(std::to_string(i)));
  finalize(folder.path(), OutputFormat::kWebDataset, many);
  EXPECT_THAT(names_in(folder.path()), ElementsAre("captions-00000.tar", "captions-00001.tar",
                                                   "captions-00002.tar", "captions.jsonl"));
  EXPECT_EQ(read_tar(folder.path("captions-00002.tar")).size(), 2U);
  many.resize(10000);
  finalize(folder.path(), OutputFormat::kParquet, many);
  EXPECT_THAT(names_in(folder.path()),
              ElementsAre("captions-00000.tar", "captions.jsonl", "captions.parquet"));
  EXPECT_EQ(open_file(folder.path("captions.parquet"))->rows(), 10000);
  const std::string before = test::read_text(folder.path("captions.parquet"));
  finalize(folder.path(), OutputFormat::kJsonl, many);
  EXPECT_TRUE(test::read_text(folder.path("captions.parquet")) == before) << "the same bytes";
  finalize(folder.path(), OutputFormat::kJsonl, {});
  EXPECT_EQ(open_file(folder.path("captions.parquet"))->rows(), 0);
  EXPECT_TRUE(read_tar(folder.path("captions-00000.tar")).empty());
}

TEST(ParquetWriter, SplitsLargeFilesIntoPagesAndRowGroups) {
  const test::TemporaryFolder folder;
  const std::string path = folder.path("many.parquet");
  constexpr std::int64_t kRows = 250001;
  {
    ParquetWriter writer(path, {{"number", ParquetKind::kInt64},
                                {"list", ParquetKind::kInt32List},
                                {"text", ParquetKind::kText}});
    for (std::int32_t i = 0; i < kRows; ++i) {
      const std::vector<std::int32_t> list(static_cast<std::size_t>(i % 4), i);
      const std::string text(static_cast<std::size_t>(i % 97), 'x');
      writer.add(std::vector<ParquetValue>{
          std::int64_t{i} * 1000,
          i % 5 == 0 ? ParquetValue() : ParquetValue(std::span<const std::int32_t>(list)),
          std::string_view(text)});
    }
    writer.commit();
  }
  const auto file = open_file(path);
  ASSERT_EQ(file->rows(), kRows);
  for (std::int64_t i = 0; i < kRows; i += 499) {
    EXPECT_THAT(cell(*file, i, "number"), ElementsAre(std::to_string(i * 1000)));
    EXPECT_EQ(cell(*file, i, "text")[0]->size(), static_cast<std::size_t>(i % 97));
    const auto list = file->cell(i, file->column("list").value());
    ASSERT_TRUE(list.ok()) << list.error().message;
    EXPECT_EQ(list.value().null, i % 5 == 0);
    EXPECT_EQ(list.value().values.size(), i % 5 == 0 ? 0U : static_cast<std::size_t>(i % 4));
  }
}

TEST(ParquetWriter, LeavesNothingWithoutCommit) {
  const test::TemporaryFolder folder;
  { const ParquetWriter writer(folder.path("a.parquet"), {{"id", ParquetKind::kText}}); }
  { TarWriter(folder.path("a.tar")).add("a", "b"); }
  EXPECT_TRUE(names_in(folder.path()).empty());
  EXPECT_THROW(ParquetWriter(folder.path("gone/a.parquet"), {}), SystemError);
}

}  // namespace
}  // namespace retinue::runtime
