// Images that kill their decoder, under --isolate-decode: each fails alone, in one run that is
// never started again, and all else is as without.
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace retinue {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using testing::HasSubstr;

std::string text_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class IsolateDecode : public testing::Test {
 protected:
  test::ShellOutcome caption(const std::string& output, const std::string& more) {
    return test::shell("LD_PRELOAD=" RETINUE_FAULTS " FAULTS_POISON_JPEG=1 " RETINUE_EXECUTABLE
                       " caption --model " RETINUE_SOURCE_DIR
                       "/configs/models/emoji-captioner --threads 1 --max-new-tokens 16 --quiet "
                       "--input " +
                       folder_.path("list.jsonl") + " --output " + folder_.path(output) + " " +
                       more + " 2>&1");
  }

  test::TemporaryFolder folder_;
};

TEST_F(IsolateDecode, GivesTheSameRecordsAsWithout) {
  std::string list;
  const std::string files = std::string(RETINUE_SOURCE_DIR) + "/tests/golden/images/files/";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(files)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  for (const std::string& name : names)
    list += Json{{"id", name}, {"image", files + name}}.dump() + "\n";
  list += Json{{"id", "clip"}, {"video", {files + "png_rgb8.png", files + "png_rgb8.png"}}}.dump();
  folder_.write("list.jsonl", list + "\n");
  EXPECT_EQ(caption("here", "").exit_code, 3);
  EXPECT_EQ(caption("isolated", "--isolate-decode --ranks 2").exit_code, 3);
  for (const char* name : {"/captions.jsonl", "/failures.jsonl"}) {
    const std::string here = text_of(folder_.path("here") + name);
    EXPECT_FALSE(here.empty());
    EXPECT_TRUE(here == text_of(folder_.path("isolated") + name)) << name;
  }
}

TEST_F(IsolateDecode, FailsWhatKillsItsDecoderAtOnceAndInOneRun) {
  constexpr int kGood = 60;
  const std::string good =
      text_of(std::string(RETINUE_SOURCE_DIR) + "/configs/examples/scene-000.jpg");
  const std::vector<std::pair<std::string, std::string>> poisons = {
      {"poison-abort", "its decoder died of SIGABRT"},
      {"poison-segv", "its decoder died of SIGSEGV"},
      {"poison-exit", "its decoder ended with exit code 9"}};
  std::string list;
  folder_.write("good.jpg", good);
  for (int i = 0; i < kGood; ++i) {
    list += Json{{"id", i}, {"image", "good.jpg"}, {"prompt", "Item " + std::to_string(i)}}.dump();
    list += "\n";
    if (i % 20 != 10) continue;
    const std::string& poison = poisons[static_cast<std::size_t>(i / 20)].first;
    folder_.write(poison + ".jpg", good + poison);
    list += Json{{"id", poison}, {"image", poison + ".jpg"}}.dump() + "\n";
  }
  list += Json{{"id", "clip"}, {"video", {"good.jpg", "poison-segv.jpg"}}}.dump() + "\n";
  folder_.write("list.jsonl", list);

  const test::ShellOutcome outcome = caption("job", "--isolate-decode --ranks 2");
  EXPECT_EQ(outcome.exit_code, 3) << outcome.text;
  const std::string captions = text_of(folder_.path("job/captions.jsonl"));
  EXPECT_EQ(std::ranges::count(captions, '\n'), kGood);
  std::vector<Json> failures;
  std::ifstream failed(folder_.path("job/failures.jsonl"));
  for (std::string line; std::getline(failed, line);) failures.push_back(Json::parse(line));
  ASSERT_EQ(failures.size(), 4U) << outcome.text;
  for (std::size_t i = 0; i < poisons.size(); ++i) {
    EXPECT_EQ(failures[i]["id"], poisons[i].first);
    EXPECT_THAT(failures[i].dump(), HasSubstr(R"("stage":"image")"));
    EXPECT_THAT(failures[i].dump(), HasSubstr(poisons[i].second));
  }
  EXPECT_THAT(failures[3].dump(), HasSubstr(R"("stage":"video")"));
  const Json report = Json::parse(text_of(folder_.path("job/report.json")));
  EXPECT_EQ(report["this_run"]["done"], kGood) << "in one run";
  for (const auto& entry : fs::recursive_directory_iterator(folder_.path("job")))
    EXPECT_NE(entry.path().extension(), ".crash") << entry.path();
}

/// Without isolation the test above would find this.
TEST_F(IsolateDecode, IsWhatKeepsThoseFromKillingTheRank) {
  folder_.write(
      "bad.jpg",
      text_of(std::string(RETINUE_SOURCE_DIR) + "/configs/examples/scene-000.jpg") + "poison-segv");
  folder_.write("list.jsonl", R"({"id":"bad","image":"bad.jpg"})"
                              "\n");
  EXPECT_NE(caption("here", "").exit_code, 3);
  EXPECT_EQ(caption("isolated", "--isolate-decode").exit_code, 3);
}

}  // namespace
}  // namespace retinue
