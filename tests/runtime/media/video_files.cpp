#include "tests/runtime/media/video_files.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace retinue::test {
namespace {

const std::filesystem::path kFolder = RETINUE_SOURCE_DIR "/tests/golden/video_containers";

}  // namespace

std::vector<std::string> container_videos() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder))
    if (entry.path().extension() != ".json") names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

std::string container_video(const std::string& name) {
  std::ifstream file(kFolder / name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace retinue::test
