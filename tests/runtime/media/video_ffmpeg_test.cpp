#include "runtime/media/video_ffmpeg.h"

#include "parallel/base/hash.h"
#include "runtime/dataset/media_bytes.h"
#include "runtime/media/exif.h"
#include "runtime/media/media_decoder.h"
#include "runtime/media/patchify.h"
#include "tests/runtime/media/image_golden.h"
#include "tests/support/temporary_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <thread>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::AnyOf;
using testing::HasSubstr;

// A channel is a sum of three rounded products; the reference's tables round once more than the
// scaler here, and its MPEG-4 decoder may differ by one in a sample, which counts twice in blue.
constexpr int kMostLevelsApart = 4;
constexpr double kMostMeanApart = 1.0;

const std::string kFolder = RETINUE_SOURCE_DIR "/tests/golden/video_files/";

std::vector<std::byte> video_bytes(const std::string& name) {
  return read_file(kFolder + "files/" + name);
}

struct Decoded {
  Frames frames;
  std::optional<DataError> error;
};

Decoded decode(Video& video, const std::vector<std::int64_t>& indices) {
  Decoded out;
  out.frames.height = video.header().size.height;
  out.frames.width = video.header().size.width;
  out.error = video.decode(indices, [&](std::span<const std::uint8_t> rgb) {
    out.frames.pixels.insert(out.frames.pixels.end(), rgb.begin(), rgb.end());
    ++out.frames.frames;
  });
  return out;
}

std::vector<std::int64_t> all_of(const Video& video) {
  std::vector<std::int64_t> indices(video.header().times_s.size());
  std::iota(indices.begin(), indices.end(), std::int64_t{0});
  return indices;
}

Frames all_frames(const std::string& name, const ImageOptions& options = {}) {
  const auto bytes = video_bytes(name);
  const auto video = open_video(bytes, options);
  EXPECT_TRUE(video.ok()) << name;
  Decoded decoded = decode(**video, all_of(**video));
  EXPECT_FALSE(decoded.error) << decoded.error->message;
  return decoded.frames;
}

/// The error of opening or decoding a file; empty without one.
std::string trouble_of(std::span<const std::byte> bytes, const ImageOptions& options = {}) {
  const auto video = open_video(bytes, options);
  if (!video.ok()) {
    EXPECT_EQ(video.error().stage, "video");
    return video.error().message;
  }
  const Decoded decoded = decode(**video, all_of(**video));
  return decoded.error ? decoded.error->message : "";
}

/// The names of all videos, or of those whose chosen frames are all stored.
std::vector<std::string> video_names(bool stored = false) {
  std::vector<std::string> names;
  const Json manifest = read_golden("video_files/manifest.json");
  for (const auto& [name, row] : manifest["clips"].items())
    if (!stored || row.contains("pixel_values_videos_sha256")) names.push_back(name);
  return names;
}

VisionProcessorSpec golden_spec(const Json& manifest) {
  VisionProcessorSpec spec;
  spec.video = {.min_pixels = manifest["min_pixels"], .max_pixels = manifest["max_pixels"]};
  return spec;
}

MediaReference reference_to(const std::string& name) {
  return {MediaKind::kVideo, {kFolder + "files/" + name}, 0.0};
}

std::vector<std::string> shown(const std::vector<double>& seconds) {
  std::vector<std::string> out;
  for (const double value : seconds) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "<%.1f seconds>", value);
    out.emplace_back(text.data());
  }
  return out;
}

/// The frames in an image of shown/, one below the other.
Frames shown_frames(const std::string& name, std::int64_t count) {
  Frames frames = decode_image(read_file(kFolder + "shown/" + name + ".png")).value();
  frames.frames = count;
  frames.height /= count;
  return frames;
}

class GoldenVideos : public testing::TestWithParam<std::string> {
 protected:
  Json manifest_ = read_golden("video_files/manifest.json");
  Json row_ = manifest_["clips"][GetParam()];
};

TEST_P(GoldenVideos, HaveTheFramesAndTimesOfTheReference) {
  const auto bytes = video_bytes(GetParam());
  const auto video = open_video(bytes, {});
  ASSERT_TRUE(video.ok()) << video.error().message;
  const VideoHeader& header = (*video)->header();
  EXPECT_EQ(header.size.height, row_["size"][0]);
  EXPECT_EQ(header.size.width, row_["size"][1]);
  EXPECT_EQ(header.times_s.size(), row_["total_num_frames"]);
  ASSERT_TRUE(header.fps);
  EXPECT_NEAR(*header.fps, row_["fps"].get<double>(), 1e-9);
  EXPECT_EQ(header.constant_rate, row_["constant_rate"]);

  const MediaReference media = reference_to(GetParam());
  const auto files = read_media(media).value();
  const auto shown_to_model = read_header(media, *files, golden_spec(manifest_), {});
  ASSERT_TRUE(shown_to_model.ok()) << shown_to_model.error().message;
  const auto grid = shown_to_model->grid.grid_thw;
  EXPECT_EQ((std::vector<std::int64_t>{grid.frames, grid.rows, grid.columns}),
            row_["video_grid_thw"].get<std::vector<std::int64_t>>());
  EXPECT_EQ(shown(shown_to_model->grid.timestamps_s),
            row_["timestamps"].get<std::vector<std::string>>());
}

TEST_P(GoldenVideos, HaveThePixelsOfTheReferenceWithinRounding) {
  const auto bytes = video_bytes(GetParam());
  const auto video = open_video(bytes, {});
  ASSERT_TRUE(video.ok()) << video.error().message;
  const auto chosen = row_["frames_indices"].get<std::vector<std::int64_t>>();
  std::vector<std::int64_t> indices;
  for (const std::size_t k : row_["shown"]) indices.push_back(chosen[k]);
  const Decoded got = decode(**video, indices);
  ASSERT_FALSE(got.error) << got.error->message;
  const Frames wanted = shown_frames(GetParam(), std::ssize(indices));
  ASSERT_EQ(got.frames.pixels.size(), wanted.pixels.size());
  int most = 0;
  double sum = 0;
  for (std::size_t i = 0; i < wanted.pixels.size(); ++i) {
    const int isolated = std::abs(int{got.frames.pixels[i]} - int{wanted.pixels[i]});
    most = std::max(most, isolated);
    sum += isolated;
  }
  RecordProperty("most_levels_apart", most);
  const double mean = sum / static_cast<double>(wanted.pixels.size());
  // Of odd sizes two releases of the scaler place chroma half a sample apart, which shows at the
  // edges of colours and nowhere else.
  const bool odd = wanted.height % 2 != 0 || wanted.width % 2 != 0;
  if (!odd) {
    EXPECT_LE(most, kMostLevelsApart) << "mean " << mean;
  }
  EXPECT_LE(mean, odd ? 2.0 : kMostMeanApart);
}

TEST_P(GoldenVideos, BecomeThePatchesOfTheirChosenFrames) {
  const MediaReference media = reference_to(GetParam());
  const auto files = read_media(media).value();
  const VisionProcessorSpec spec = golden_spec(manifest_);
  const auto patches = read_patches(media, *files, spec, {});
  ASSERT_TRUE(patches.ok()) << patches.error().message;
  const auto video = open_video((*files)[0], {});
  const Decoded decoded = decode(**video, row_["frames_indices"].get<std::vector<std::int64_t>>());
  ASSERT_FALSE(decoded.error);
  const auto wanted = to_patches(decoded.frames, spec, true);
  ASSERT_TRUE(wanted.ok());
  EXPECT_EQ(patches->grid_thw, wanted->grid_thw);
  EXPECT_EQ(patches->pixels, wanted->pixels);
}

class StoredVideos : public GoldenVideos {};

TEST_P(StoredVideos, PixelValuesOfEqualFramesAreTheReferences) {
  const Frames frames = shown_frames(GetParam(), std::ssize(row_["shown"]));
  const auto patches = to_patches(frames, golden_spec(manifest_), true);
  ASSERT_TRUE(patches.ok());
  std::vector<float> values;
  for (const std::uint8_t pixel : patches->pixels)
    values.push_back((static_cast<float>(pixel) - 127.5F) / 127.5F);
  EXPECT_EQ(sha256_hex(std::string_view(reinterpret_cast<const char*>(values.data()),
                                        values.size() * sizeof(float))),
            row_["pixel_values_videos_sha256"]);
}

TEST_P(GoldenVideos, CutAnywhereFailOrGiveTheFramesOfTheirHeader) {
  const auto bytes = video_bytes(GetParam());
  const std::size_t step = bytes.size() / 40 + 1;
  for (std::size_t length = 1; length < bytes.size(); length += step) {
    const std::vector<std::byte> cut(bytes.begin(),
                                     bytes.begin() + static_cast<std::ptrdiff_t>(length));
    const auto video = open_video(cut, {});
    if (!video.ok()) {
      EXPECT_FALSE(video.error().message.empty());
      continue;
    }
    const Decoded decoded = decode(**video, all_of(**video));
    if (!decoded.error) {
      EXPECT_EQ(decoded.frames.frames, std::ssize((*video)->header().times_s));
    }
  }
}

std::string test_name(const testing::TestParamInfo<std::string>& video) {
  std::string name = video.param;
  std::ranges::replace(name, '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Videos, GoldenVideos, testing::ValuesIn(video_names()), test_name);
INSTANTIATE_TEST_SUITE_P(Videos, StoredVideos, testing::ValuesIn(video_names(true)), test_name);

TEST(VideoFiles, FramesReachedByLeapsEqualThoseDecodedThrough) {
  const auto bytes = video_bytes("keyframes.mp4");
  const auto video = open_video(bytes, {});
  ASSERT_TRUE(video.ok());
  const Frames all = all_frames("keyframes.mp4");
  const std::vector<std::int64_t> indices = {3, 3, 4, 57, 58, 120, 239, 240, 241, 299};
  const Decoded some = decode(**video, indices);
  ASSERT_FALSE(some.error) << some.error->message;
  const auto frame_bytes = static_cast<std::size_t>(all.height * all.width * 3);
  for (std::size_t i = 0; i < indices.size(); ++i)
    EXPECT_EQ(0, std::memcmp(some.frames.pixels.data() + i * frame_bytes,
                             all.pixels.data() + static_cast<std::size_t>(indices[i]) * frame_bytes,
                             frame_bytes))
        << indices[i];
}

TEST(VideoFiles, EveryQuarterTurnAndMirrorIsAppliedUnlessIgnored) {
  constexpr std::array<std::array<int, 4>, 8> kMatrices = {{{1, 0, 0, 1},
                                                            {-1, 0, 0, 1},
                                                            {-1, 0, 0, -1},
                                                            {1, 0, 0, -1},
                                                            {0, 1, 1, 0},
                                                            {0, 1, -1, 0},
                                                            {0, -1, -1, 0},
                                                            {0, -1, 1, 0}}};
  const Frames stored = all_frames("three_frames.mp4");
  auto bytes = video_bytes("three_frames.mp4");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t matrix = text.find("tkhd") + 44;
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto& wanted = kMatrices[static_cast<std::size_t>(orientation - 1)];
    for (const auto& [place, value] :
         {std::pair{0U, wanted[0]}, {4U, wanted[1]}, {12U, wanted[2]}, {16U, wanted[3]}}) {
      // 16.16, big-endian: 00 01 00 00 or FF FF 00 00.
      bytes[matrix + place] = static_cast<std::byte>(value < 0 ? 0xFF : 0);
      bytes[matrix + place + 1] = static_cast<std::byte>(value < 0 ? 0xFF : value);
    }
    Frames upright = stored;
    apply_orientation(upright, orientation);
    const auto video = open_video(bytes, {});
    ASSERT_TRUE(video.ok());
    EXPECT_EQ((*video)->header().size, oriented_size({48, 64}, orientation));
    EXPECT_EQ(decode(**video, {0, 1, 2}).frames.pixels, upright.pixels) << orientation;
    const auto lying = open_video(bytes, {.exif_orientation = ExifOrientation::kIgnore});
    ASSERT_TRUE(lying.ok());
    EXPECT_EQ(decode(**lying, {0, 1, 2}).frames.pixels, stored.pixels);
  }
}

TEST(VideoFiles, DamageIsAnErrorThatNamesItsTime) {
  for (const char* name : {"h264.mp4", "vp9_odd_size.webm", "uneven.mkv"}) {
    auto bytes = video_bytes(name);
    for (std::size_t i = bytes.size() * 6 / 10; i < bytes.size() * 6 / 10 + 600; ++i)
      bytes[i] = static_cast<std::byte>(i * 151 + 7);
    EXPECT_THAT(trouble_of(bytes),
                testing::ContainsRegex("at [0-9.]+ s|, [0-9]+ frames can be reached"))
        << name;
  }
}

TEST(VideoFiles, ACopyThatEndsEarlyIsAnError) {
  for (const std::string& name : video_names()) {
    auto bytes = video_bytes(name);
    bytes.resize(bytes.size() * 7 / 10);
    EXPECT_NE(trouble_of(bytes), "") << name;
  }
}

TEST(VideoFiles, AFileThatIsNoVideoIsDescribed) {
  EXPECT_THAT(trouble_of({}), HasSubstr("an empty file"));
  const std::string_view text = "hello, this is no video";
  EXPECT_THAT(trouble_of(std::as_bytes(std::span(text))), HasSubstr("text, wanted an mp4"));
  EXPECT_THAT(trouble_of(video_bytes("sound.mp4")), HasSubstr("no video"));
  // A playlist names other files: none of them is opened.
  const std::string_view playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n";
  EXPECT_THAT(trouble_of(std::as_bytes(std::span(playlist))), HasSubstr("wanted an mp4"));
}

TEST(VideoFiles, FramesOverTheLimitAreRefused) {
  EXPECT_EQ(trouble_of(video_bytes("h264.mp4"), {.max_pixels = 64 * 48}), "");
  EXPECT_THAT(trouble_of(video_bytes("h264.mp4"), {.max_pixels = 64 * 48 - 1}),
              HasSubstr("64 x 48 = 3072 pixels, the limit is 3071"));
}

TEST(VideoFiles, ThreadsDoNotDisturbEachOther) {
  const std::vector<std::string> names = video_names();
  std::vector<std::vector<std::uint8_t>> alone, together(names.size());
  for (const std::string& name : names) alone.push_back(all_frames(name).pixels);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < names.size(); ++i)
      threads.emplace_back([&, i] { together[i] = all_frames(names[i]).pixels; });
  }
  EXPECT_EQ(alone, together);
}

TEST(VideoFiles, ARateInTheRequestIsThatOfLooking) {
  MediaReference media = reference_to("h264.mp4");  // 5 s
  media.fps = 4.0;
  const auto files = read_media(media).value();
  const auto header = read_header(media, *files, {}, {});
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->frames, 20);
}

TEST(VideoFiles, AMemberOfAnArchiveIsRead) {
  const test::TemporaryFolder folder;
  const auto bytes = video_bytes("h264.mp4");
  const std::string video(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  MediaFile part(folder.write("a.tar", "before" + video + "behind"));
  part.place = MediaPlace::kRange;
  part.member = "clip.mp4";
  part.offset = 6;
  part.bytes = std::ssize(video);
  const MediaReference member{MediaKind::kVideo, {part}, 0.0};
  const MediaReference whole = reference_to("h264.mp4");
  const auto got = read_patches(member, *read_media(member).value(), {}, {});
  const auto wanted = read_patches(whole, *read_media(whole).value(), {}, {});
  ASSERT_TRUE(got.ok() && wanted.ok());
  EXPECT_EQ(got->pixels, wanted->pixels);
}

}  // namespace
}  // namespace retinue::runtime
