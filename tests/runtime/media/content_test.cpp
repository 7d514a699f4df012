#include "runtime/media/content.h"

#include "tests/runtime/media/image_golden.h"
#include "tests/runtime/media/video_files.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace retinue::runtime {
namespace {

using namespace std::string_view_literals;

std::optional<MediaKind> kind_of(std::string_view head) {
  return media_kind(std::as_bytes(std::span(head)));
}

TEST(Content, DecidesAndNotTheName) {
  EXPECT_EQ(image_kind(read_golden_image("exif_1.jpg")), ImageKind::kJpeg);
  EXPECT_EQ(image_kind(read_golden_image("png_rgb8.png")), ImageKind::kPng);
  EXPECT_EQ(image_kind(read_golden_image("webp_lossless.webp")), ImageKind::kWebp);
  EXPECT_EQ(image_kind(read_golden_image("page.png")), ImageKind::kOther);
}

TEST(Content, IsAVideoByItsContainer) {
  EXPECT_EQ(kind_of("GIF89a"), MediaKind::kVideo);
  EXPECT_EQ(kind_of("\0\0\0\x18"
                    "ftypisom"sv),
            MediaKind::kVideo);
  EXPECT_EQ(kind_of("\0\0\0\x08"
                    "wide"sv),
            MediaKind::kVideo)
      << "an older mov";
  EXPECT_EQ(kind_of("\x1A\x45\xDF\xA3"), MediaKind::kVideo);
  EXPECT_EQ(kind_of("RIFF....AVI "), MediaKind::kVideo);
  EXPECT_EQ(kind_of("RIFF....WEBP"), MediaKind::kImage);
}

TEST(Content, OfEveryContainerIsAVideoByItsFirstBytes) {
  for (const std::string& name : test::container_videos()) {
    if (name.ends_with(".png") || name.ends_with(".webp")) continue;  // images that move
    EXPECT_EQ(kind_of(test::container_video(name).substr(0, 412)), MediaKind::kVideo) << name;
  }
  EXPECT_EQ(kind_of("OggS\0\2 and further on \x01vorbis"sv), std::nullopt) << "sound";
  std::string program(600, 'a');
  program[0] = program[188] = program[376] = 'G';
  EXPECT_EQ(kind_of(program), std::nullopt) << "TypeScript";
}

TEST(Content, IsNamedInMessages) {
  const auto name_of = [](const char* name) {
    return describe_content(test::bytes_of(test::container_video(name)));
  };
  EXPECT_EQ(name_of("h264.ts"), "an MPEG transport stream");
  EXPECT_EQ(name_of("h264.flv"), "an FLV");
  EXPECT_EQ(name_of("wmv2.wmv"), "a WMV or another ASF file");
  EXPECT_EQ(name_of("theora.ogv"), "an Ogg file");
  EXPECT_EQ(name_of("mpeg2.mpg"), "an MPEG program stream");
}

TEST(Content, IsNeitherInAnImageContainerThatIsNotRead) {
  EXPECT_EQ(kind_of("\0\0\0\x1C"
                    "ftypavif"sv),
            std::nullopt);
  EXPECT_EQ(kind_of("\0\0\0\x1C"
                    "ftypheic"sv),
            std::nullopt);
  EXPECT_EQ(kind_of("RIFF....WAVE"), std::nullopt);
  EXPECT_EQ(kind_of(""), std::nullopt);
}

}  // namespace
}  // namespace retinue::runtime
