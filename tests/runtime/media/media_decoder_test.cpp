#include "runtime/media/media_decoder.h"

#include "parallel/base/hash.h"
#include "runtime/dataset/media_bytes.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

class MediaFiles : public testing::Test {
 protected:
  static std::string image(const std::string& name) {
    return test::golden_folder() + "/images/" + name;
  }
  VisionProcessorSpec spec_ = load_processor_spec(test::golden_config("gqa8-tied"));
  test::TemporaryFolder folder_;
};

TEST_F(MediaFiles, AHeaderSaysWhatDecodingGives) {
  for (const char* name : {"fence.png", "pond.png", "ridge.png", "stone.png", "tower.png"}) {
    const MediaReference media{MediaKind::kImage, {image(name)}, 0.0};
    const MediaBytes files = read_media(media).value();
    const auto header = read_header(media, *files, spec_, {});
    const auto patches = read_patches(media, *files, spec_, {});
    ASSERT_TRUE(header.ok() && patches.ok());
    EXPECT_EQ(header->grid.grid_thw, patches->grid_thw);
  }
}

TEST_F(MediaFiles, FramesHaveTheTimesOfTheirRate) {
  MediaReference media{MediaKind::kVideo, {}, 1.0};
  for (int i = 0; i < 5; ++i) media.files.emplace_back(image("walk-" + std::to_string(i) + ".png"));
  const MediaBytes files = read_media(media).value();
  auto header = read_header(media, *files, spec_, {});
  ASSERT_TRUE(header.ok());
  EXPECT_THAT(header->grid.timestamps_s, testing::ElementsAre(0.5, 2.5, 4.0));
  EXPECT_EQ(header->grid.grid_thw.frames, 3);
  media.fps = 0;
  header = read_header(media, *files, spec_, {});
  EXPECT_THAT(header->grid.timestamps_s,
              testing::ElementsAre(testing::DoubleNear(0.5 / 24, 1e-12),
                                   testing::DoubleNear(2.5 / 24, 1e-12),
                                   testing::DoubleNear(4.0 / 24, 1e-12)));
}

TEST_F(MediaFiles, FramesOfDifferentSizesAreRefused) {
  const MediaReference mixed{MediaKind::kVideo, {image("walk-0.png"), image("pond.png")}, 0.0};
  const auto header = read_header(mixed, *read_media(mixed).value(), spec_, {});
  ASSERT_FALSE(header.ok());
  EXPECT_THAT(header.error().message, HasSubstr("56 x 40"));
}

TEST_F(MediaFiles, AFolderNamedAsVideoIsItsFrames) {
  for (const int i : {2, 0, 1})
    std::filesystem::copy(image("walk-" + std::to_string(i) + ".png"),
                          folder_.path(std::to_string(i) + ".png"));
  const auto media = expand_frame_folder({MediaKind::kVideo, {folder_.path()}, 0.0});
  ASSERT_TRUE(media.ok());
  EXPECT_THAT(media->files,
              testing::ElementsAre(testing::Field(&MediaFile::path, folder_.path("0.png")),
                                   testing::Field(&MediaFile::path, folder_.path("1.png")),
                                   testing::Field(&MediaFile::path, folder_.path("2.png"))));
}

TEST_F(MediaFiles, WhatCannotBeReadSaysWhy) {
  for (const auto& [path, why] : {std::pair{folder_.path("missing.png"), "No such file"},
                                  std::pair{folder_.path(), "is not a file"},
                                  std::pair{std::string("data:image/png,xx"), "base64"},
                                  std::pair{std::string("data:;base64,a*b"), "base64"}}) {
    const auto files = read_media({MediaKind::kImage, {path}, 0.0});
    ASSERT_FALSE(files.ok()) << path;
    EXPECT_THAT(files.error().message, HasSubstr(why));
  }
}

TEST_F(MediaFiles, DataAddressesAreDecoded) {
  const auto files = read_media({MediaKind::kImage, {"data:text/plain;base64,SGVsbG8="}, 0.0});
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(sha256_of(std::span(&files.value(), 1)), sha256_hex(std::string_view("Hello")));
}

TEST_F(MediaFiles, ARangeOfAFileIsReadAlone) {
  test::write_text(folder_.path("a.tar"), "headHellotail");
  MediaFile part(folder_.path("a.tar"));
  part.place = MediaPlace::kRange;
  part.member = "x/hello.png";
  part.offset = 4;
  part.bytes = 5;
  const auto files = read_media({MediaKind::kImage, {part}, 0.0});
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(sha256_of(std::span(&files.value(), 1)), sha256_hex(std::string_view("Hello")));
  part.bytes = 10;
  const auto cut = read_media({MediaKind::kImage, {part}, 0.0});
  ASSERT_FALSE(cut.ok());
  EXPECT_THAT(cut.error().message, HasSubstr("a.tar:x/hello.png: its file is shorter"));
}

TEST_F(MediaFiles, ANamedPipeIsNoFileAndNobodyWaitsForIt) {
  ASSERT_EQ(::mkfifo(folder_.path("pipe.png").c_str(), 0600), 0);
  const auto files = read_media({MediaKind::kImage, {folder_.path("pipe.png")}, 0.0});
  ASSERT_FALSE(files.ok());
  EXPECT_THAT(files.error().message, HasSubstr("is not a file"));
}

}  // namespace
}  // namespace retinue::runtime
