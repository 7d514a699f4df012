// Videos in whole launches: in a folder beside images, alone with `ask`, traced.
#include "tests/support/shell.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>

namespace retinue {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::HasSubstr;

const std::string kSource = RETINUE_SOURCE_DIR;
const std::string kVideos = kSource + "/tests/golden/video_files/files/";
const std::string kModel = " --model " + kSource + "/configs/models/emoji-captioner --device cpu ";

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// By the last part of the id.
std::map<std::string, Json> lines_of(const std::string& path) {
  std::map<std::string, Json> lines;
  std::istringstream file(content_of(path));
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line);
    lines[fs::path(json["id"].get<std::string>()).filename().string()] = json;
  }
  return lines;
}

TEST(VideoLaunch, AFolderOfVideosAndImagesIsCaptionedAndASoundFails) {
  const test::TemporaryFolder folder;
  const std::string input = folder.path("in"), output = folder.path("out");
  fs::create_directories(input);
  for (const char* name : {"h264.mp4", "uneven.gif", "vp9_odd_size.webm", "sound.mp4"})
    fs::copy(kVideos + name, input + "/" + name);
  fs::copy(kSource + "/configs/examples/scene-000.jpg", input + "/scene.jpg");
  const auto job =
      test::shell(RETINUE_EXECUTABLE " caption" + kModel + "--input " + input + " --output " +
                  output + " --prompt Describe. --max-new-tokens 24 2>&1");
  EXPECT_EQ(job.exit_code, 3) << job.text;
  auto captions = lines_of(output + "/captions.jsonl");
  auto failures = lines_of(output + "/failures.jsonl");
  ASSERT_EQ(captions.size(), 4U) << job.text;
  ASSERT_EQ(failures.size(), 1U) << job.text;
  EXPECT_EQ(failures["sound.mp4"]["stage"], "video");
  EXPECT_THAT(failures["sound.mp4"]["message"].get<std::string>(), HasSubstr("no video"));
  EXPECT_EQ(captions["scene.jpg"]["input"]["media"][0]["kind"], "image");
  const Json golden =
      Json::parse(content_of(kSource + "/tests/golden/video_files/manifest.json"))["clips"];
  for (const char* name : {"h264.mp4", "uneven.gif", "vp9_odd_size.webm"}) {
    const Json shown = captions[name]["input"]["media"][0];
    EXPECT_EQ(shown["kind"], "video");
    EXPECT_EQ(shown["width"], golden[name]["size"][1]);
    const auto grid = golden[name]["video_grid_thw"].get<std::vector<int>>();
    EXPECT_EQ(shown["visual_tokens"], grid[0] * grid[1] * grid[2] / 4);
  }
  const auto asked = test::shell(RETINUE_EXECUTABLE " ask" + kModel + "--video " + kVideos +
                                 "h264.mp4 --prompt Describe. --max-new-tokens 24");
  EXPECT_EQ(asked.exit_code, 0);
  EXPECT_EQ(asked.text, captions["h264.mp4"]["caption"].get<std::string>() + "\n");
}

TEST(VideoLaunch, ATraceHoldsThePixelsOfAllChosenFrames) {
  const test::TemporaryFolder folder;
  const std::string trace = folder.path("trace.safetensors");
  const auto outcome =
      test::shell(RETINUE_EXECUTABLE " trace" + kModel + "--video " + kVideos +
                  "three_frames.mp4 --prompt Describe. --output " + trace + " 2>&1");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.text;
  const std::string bytes = content_of(trace);
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  const Json header = Json::parse(bytes.substr(sizeof header_bytes, header_bytes));
  // 3 frames are 2 pairs of 4 x 4 patches.
  EXPECT_EQ(header["pixel_values_videos"]["shape"], Json({32, 1536}));
  const std::size_t at = header["video_grid_thw"]["data_offsets"][0];
  std::int64_t grid[3];
  std::memcpy(grid, bytes.data() + sizeof header_bytes + header_bytes + at, sizeof grid);
  EXPECT_THAT(grid, testing::ElementsAre(2, 4, 4));
}

}  // namespace
}  // namespace retinue
