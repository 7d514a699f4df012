#include "runtime/media/content.h"

#include "tests/runtime/media/image_golden.h"

#include <gtest/gtest.h>

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
