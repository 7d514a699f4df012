#include "runtime/media/processor_spec.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <functional>

namespace retinue::runtime {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr PixelBudget kImages{.min_pixels = 65536, .max_pixels = 16777216};
constexpr PixelBudget kVideos{.min_pixels = 4096, .max_pixels = 25165824};

/// A folder with the two files, removed at the end.
class ProcessorSpec : public testing::Test {
 protected:
  ProcessorSpec()
      : folder_(std::filesystem::temp_directory_path() /
                (std::string("retinue_spec_") +
                 testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(folder_);
    image_ = Json::parse(
        R"({"size": {"shortest_edge": 65536, "longest_edge": 16777216}, "patch_size": 16,
      "temporal_patch_size": 2, "merge_size": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]})");
    video_ = image_;
    video_["size"] = {{"shortest_edge", 4096}, {"longest_edge", 25165824}};
  }
  ~ProcessorSpec() override { std::filesystem::remove_all(folder_); }

  VisionProcessorSpec load(bool with_video = true) {
    std::ofstream(folder_ / "preprocessor_config.json") << image_.dump();
    if (with_video) std::ofstream(folder_ / "video_preprocessor_config.json") << video_.dump();
    return load_processor_spec(folder_.string());
  }
  std::string refusal() {
    try {
      load();
    } catch (const UsageError& error) {
      return error.what();
    }
    return "loaded";
  }

  std::filesystem::path folder_;
  Json image_;
  Json video_;
};

TEST_F(ProcessorSpec, ReadsTheFilesOfACheckpoint) {
  video_["fps"] = 1.5;
  const VisionProcessorSpec spec = load();
  EXPECT_EQ(spec.image, kImages);
  EXPECT_EQ(spec.video, kVideos);
  EXPECT_EQ(spec.factor(), 32);
  EXPECT_EQ(spec.frames.fps, 1.5);
}

TEST_F(ProcessorSpec, MinAndMaxPixelsOverrideSize) {
  image_["min_pixels"] = 1024;
  EXPECT_EQ(load().image, (PixelBudget{.min_pixels = 1024, .max_pixels = 16777216}));
}

TEST_F(ProcessorSpec, WithoutVideoFileTheReferencesClassDefaultsHold) {
  EXPECT_EQ(load(false).video, (PixelBudget{.min_pixels = 131072, .max_pixels = 786432}));
}

TEST_F(ProcessorSpec, PixelsWithoutASizeFillUpFromTheReferencesClassDefaults) {
  image_.erase("size");
  image_["max_pixels"] = 500000;
  EXPECT_EQ(load().image, (PixelBudget{.min_pixels = 3136, .max_pixels = 500000}));
  image_["min_pixels"] = 4096;
  EXPECT_EQ(load().image, (PixelBudget{.min_pixels = 4096, .max_pixels = 500000}));
}

TEST_F(ProcessorSpec, OneFileOfTransformers5HoldsBothProcessors) {
  video_["fps"] = 1.5;
  const std::string path = (folder_ / "processor_config.json").string();
  std::ofstream(path) << Json{{"image_processor", image_}, {"video_processor", video_}}.dump();
  const VisionProcessorSpec spec = load_processor_spec(folder_.string());
  EXPECT_EQ(spec.image, kImages);
  EXPECT_EQ(spec.video, kVideos);
  EXPECT_EQ(spec.frames.fps, 1.5);
  EXPECT_EQ(load(false).video, kVideos) << "not the class defaults beside preprocessor_config.json";
  std::filesystem::remove(folder_ / "preprocessor_config.json");
  image_["patch_size"] = 0;
  std::ofstream(path) << Json{{"image_processor", image_}}.dump();
  try {
    (void)load_processor_spec(folder_.string());
    ADD_FAILURE() << "loaded";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("processor_config.json: image_processor: patch_size"));
  }
}

TEST_F(ProcessorSpec, RefusalNamesFileAndKey) {
  const std::vector<std::pair<std::function<void()>, std::string>> cases = {
      {[&] { image_.erase("patch_size"); }, "/preprocessor_config.json: patch_size is missing"},
      {[&] { image_["merge_size"] = "two"; }, "merge_size must be a positive integer, got \"two\""},
      {[&] { image_["patch_size"] = 0; }, "patch_size must be a positive integer, got 0"},
      {[&] {
         image_["image_mean"] = {0.48, 0.45, 0.4};
       },
       "image_mean must be [0.5, 0.5, 0.5]"},
      {[&] { image_["resample"] = 2; }, "resample must be 3 (bicubic), got 2"},
      {[&] { image_["do_resize"] = false; }, "do_resize must be true, got false"},
      {[&] { image_["rescale_factor"] = 1.0; }, "rescale_factor must be 1/255"},
      {[&] {
         image_["size"] = {{"height", 3}};
       },
       "size must be an object with shortest_edge and longest_edge"},
      {[&] { image_["size"]["shortest_edge"] = 99999999; }, "more than size.longest_edge"},
      {[&] { image_ = Json::array(); }, "wanted a JSON object"},
      {[&] { video_["patch_size"] = 14; },
       "/video_preprocessor_config.json: patch_size must be 16, as in preprocessor_config.json"},
      {[&] { video_["fps"] = -1; }, "fps must be a positive number, got -1"}};
  const Json image = image_;
  const Json video = video_;
  for (const auto& [poison, message] : cases) {
    image_ = image;
    video_ = video;
    poison();
    EXPECT_THAT(refusal(), HasSubstr(message));
  }
  std::filesystem::remove_all(folder_);
  EXPECT_THROW(load_processor_spec(folder_.string()), UsageError);
}

}  // namespace
}  // namespace retinue::runtime
