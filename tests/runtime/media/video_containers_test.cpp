// Videos in every container that is read, whole, cut, zeroed and joined; compared with FFmpeg's own
// programs and with each other.
#include "runtime/media/image_webp_video.h"
#include "runtime/media/video_ffmpeg.h"
#include "tests/runtime/media/image_golden.h"
#include "tests/runtime/media/video_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using test::bytes_of;
using test::container_video;

struct Read {
  std::string error;
  ImageSize size;
  std::size_t listed = 0;  ///< frames in the header
  std::vector<double> times_s;
  std::vector<std::vector<std::uint8_t>> frames;
};

Read read(const std::string& file) {
  const ImageOptions options{.alpha = Alpha::kDrop};
  const auto video = image_kind(bytes_of(file)) == ImageKind::kWebp
                         ? open_webp_video(bytes_of(file), options)
                         : open_video(bytes_of(file), options);
  Read out;
  if (!video.ok()) {
    out.error = video.error().message;
    return out;
  }
  const VideoHeader& header = (*video)->header();
  out.size = header.size;
  out.listed = header.times_s.size();
  out.times_s = header.times_s;
  std::vector<std::int64_t> indices(out.listed);
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  const auto failed = (*video)->decode(indices, [&](std::span<const std::uint8_t> rgb) {
    out.frames.emplace_back(rgb.begin(), rgb.end());
  });
  if (failed) out.error = failed->message;
  return out;
}

double mean_of(const std::vector<std::uint8_t>& frame) {
  return std::accumulate(frame.begin(), frame.end(), 0.0) / static_cast<double>(frame.size());
}

std::string zeroed(std::string file, double from, double to = 1.0) {
  const auto size = static_cast<double>(file.size());
  std::fill(file.begin() + static_cast<std::ptrdiff_t>(size * from),
            file.begin() + static_cast<std::ptrdiff_t>(size * to), '\0');
  return file;
}

class Containers : public testing::TestWithParam<std::string> {
 protected:
  Json row_ = read_golden("video_containers/manifest.json")["videos"][GetParam()];
};

TEST_P(Containers, HaveTheFramesThatFFmpegDecodes) {
  const Read got = read(container_video(GetParam()));
  EXPECT_EQ(got.error, "");
  EXPECT_EQ(got.size.height, row_["size"][0]);
  EXPECT_EQ(got.size.width, row_["size"][1]);
  EXPECT_EQ(got.listed, row_["frames"]);
  EXPECT_EQ(got.frames.size(), row_["means"].size());
  for (std::size_t i = 0; i < std::min(got.frames.size(), row_["means"].size()); ++i)
    EXPECT_NEAR(mean_of(got.frames[i]), row_["means"][i].get<double>(), 1.0) << i;
  EXPECT_TRUE(std::ranges::is_sorted(got.times_s));
  if (row_.contains("same_as")) {
    EXPECT_TRUE(got.frames == read(container_video(row_["same_as"])).frames);
  }
}

TEST_P(Containers, FailOrHaveAllFramesWhereTheirTailIsLostOrZero) {
  const std::string file = container_video(GetParam());
  const Read whole = read(file);
  for (const double part : {0.3, 0.5, 0.7, 0.8, 0.9, 0.95}) {
    const auto bytes = static_cast<std::size_t>(static_cast<double>(file.size()) * part);
    for (const std::string& lost : {file.substr(0, bytes), zeroed(file, part)}) {
      // A stream of packets that ends between two of them is a whole one.
      const std::size_t packet = GetParam().ends_with(".mpg") ? 2048 : 188;
      if (lost.size() % packet == 0 && lost.size() < file.size()) continue;
      const Read got = read(lost);
      // Sound and indices may lie behind the last frame.
      EXPECT_TRUE(!got.error.empty() || got.frames.size() == whole.frames.size())
          << part << (lost.size() < file.size() ? " is left: " : " is not zero: ")
          << got.frames.size() << " of " << whole.frames.size() << " frames";
    }
  }
}

TEST_P(Containers, JoinedWithThemselvesHaveAllFramesOrFail) {
  const std::string file = container_video(GetParam());
  const Read whole = read(file), twice = read(file + file);
  if (!twice.error.empty()) {
    EXPECT_THAT(twice.error, testing::HasSubstr("several videos one behind another"));
    return;
  }
  auto wanted = whole.frames;
  wanted.insert(wanted.end(), whole.frames.begin(), whole.frames.end());
  // Frames that need missing ones are decoded where others precede them.
  if (row_["frames"] == row_["packets"]) {
    EXPECT_TRUE(twice.frames == wanted) << twice.frames.size();
  }
  EXPECT_TRUE(std::ranges::is_sorted(twice.times_s));
  EXPECT_GT(twice.times_s.back(), whole.times_s.back() * 1.5);
}

std::string test_name(const testing::TestParamInfo<std::string>& video) {
  std::string name = video.param;
  std::ranges::replace(name, '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Videos, Containers, testing::ValuesIn(test::container_videos()),
                         test_name);

TEST(VideoContainers, BytesBehindTheEndOfAGifAreNoPartOfIt) {
  const std::string gif = container_video("animation.gif");
  const Read whole = read(gif);
  for (const std::string& behind : {std::string(4096, '\0'), std::string(1, '\0'),
                                    std::string("garbage"), std::string(300, ';')}) {
    const Read got = read(gif + behind);
    EXPECT_EQ(got.error, "");
    EXPECT_TRUE(got.frames == whole.frames);
    EXPECT_EQ(got.times_s, whole.times_s);
  }
  EXPECT_EQ(read(gif.substr(0, gif.size() - 1)).error,
            "ends within frame 8. The copy is incomplete; copy it again.");
}

TEST(VideoContainers, AnAviWhoseTailIsZeroIsDamagedAndNotShorter) {
  const std::string avi = container_video("mjpeg.avi");
  EXPECT_THAT(read(zeroed(avi, 0.7)).error,
              testing::MatchesRegex(
                  "is damaged: wanted a chunk at byte [0-9]+, got other bytes. Copy it again."));
  // The same without the zeros: as if the frames had never been written.
  std::string fewer = avi;
  const std::size_t length = fewer.find("vids") + 32;
  fewer[length] = 20;
  EXPECT_EQ(
      read(fewer).error,
      "is damaged or incomplete, 12 frames can be reached: its header says 2.00 s, 1.20 s are "
      "there. Copy it again.");
  fewer[length] = 14;
  EXPECT_EQ(read(fewer).error, "") << "writers miscount by a frame or two";
}

TEST(VideoContainers, PacketsOfZerosAreDamageThoughTheyAreNotDecoded) {
  const auto video = open_video(bytes_of(zeroed(container_video("index_first.mp4"), 0.6, 0.9)), {});
  ASSERT_FALSE(video.ok());
  EXPECT_THAT(video.error().message, testing::HasSubstr("is damaged or incomplete, "));
}

TEST(VideoContainers, TransportStreamsOfDifferentSizesFailByName) {
  const std::string joined = container_video("h264.ts") + container_video("small.ts");
  EXPECT_EQ(read(joined).error, "at 1.20 s a frame of 32 x 32 pixels among others of 48 x 32");
}

TEST(VideoContainers, EqualTimesBecomeThoseOfTheRate) {
  const Read got = read(container_video("same_times.mkv"));
  ASSERT_EQ(got.times_s.size(), 12U);
  EXPECT_DOUBLE_EQ(got.times_s[1], 0.1);
  EXPECT_DOUBLE_EQ(got.times_s[11], 1.1);
}

TEST(VideoContainers, LeadingFramesThatNeedMissingOnesDoNotCount) {
  for (const char* name : {"no_keyframe_first.mp4", "open_start.mpg", "open_start.mkv"}) {
    const Json row = read_golden("video_containers/manifest.json")["videos"][name];
    EXPECT_LT(row["frames"], row["packets"]) << name;
    const Read got = read(container_video(name));
    EXPECT_EQ(got.listed, row["frames"]) << name;
    EXPECT_EQ(got.times_s.front(), 0.0) << name;
  }
}

TEST(VideoContainers, ACutThatHoldsNoKeyframeGivesNoFrame) {
  // The first packets of the stream name its codec; those of the keyframe are left out.
  const std::string ts = container_video("small.ts");
  const std::size_t half = ts.size() / 188 / 2 * 188;
  const Read got = read(ts.substr(half));
  EXPECT_FALSE(got.error.empty());
}

}  // namespace
}  // namespace retinue::runtime
