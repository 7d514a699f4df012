#include "runtime/media/image_thumbnail.h"

#include "runtime/media/patchify.h"
#include "tests/runtime/media/image_golden.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <span>
#include <string>

namespace retinue::runtime {
namespace {

/// An image of four plain colours, one per quarter.
Frames quarters(std::int64_t height, std::int64_t width) {
  Frames frames;
  frames.frames = 1, frames.height = height, frames.width = width;
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const bool low = y >= height / 2, right = x >= width / 2;
      frames.pixels.push_back(low ? 230 : 20);
      frames.pixels.push_back(right ? 230 : 20);
      frames.pixels.push_back(90);
    }
  return frames;
}

Frames decoded(const std::string& jpeg) {
  auto frames = decode_image(std::as_bytes(std::span(jpeg)));
  EXPECT_TRUE(frames.ok());
  return frames.ok() ? std::move(frames).value() : Frames{};
}

TEST(Thumbnail, ShowsTheImageOfThePatches) {
  const VisionProcessorSpec spec;
  const Frames small = decoded(thumbnail_jpeg(patchify(quarters(512, 1024), spec), spec, 192));
  ASSERT_EQ(small.height, 96);
  ASSERT_EQ(small.width, 192);
  for (const auto& [y, x, red, green] :
       {std::tuple{24, 48, 20, 20}, {24, 144, 20, 230}, {72, 48, 230, 20}, {72, 144, 230, 230}}) {
    const std::uint8_t* pixel = &small.pixels[static_cast<std::size_t>((y * 192 + x) * 3)];
    EXPECT_LE(std::abs(pixel[0] - red), 6) << y << " " << x;
    EXPECT_LE(std::abs(pixel[1] - green), 6) << y << " " << x;
    EXPECT_LE(std::abs(pixel[2] - 90), 6) << y << " " << x;
  }
}

TEST(Thumbnail, NeverEnlarges) {
  const VisionProcessorSpec spec;
  const Frames same = decoded(thumbnail_jpeg(patchify(quarters(64, 32), spec), spec, 192));
  EXPECT_EQ(same.height, 64);
  EXPECT_EQ(same.width, 32);
}

TEST(Thumbnail, AVeryLongImageBecomesALine) {
  const VisionProcessorSpec spec;
  const Frames line = decoded(thumbnail_jpeg(patchify(quarters(32, 32 * 220), spec), spec, 192));
  EXPECT_EQ(line.height, 1);
  EXPECT_EQ(line.width, 192);
}

TEST(Thumbnail, PatchesThatDoNotFitGiveNone) {
  const VisionProcessorSpec spec;
  layers::Patches patches = patchify(quarters(64, 64), spec);
  patches.pixels.pop_back();
  patches.pixels.resize(patches.pixels.size() / 2);
  EXPECT_EQ(thumbnail_jpeg(patches, spec, 192), "");
  EXPECT_EQ(thumbnail_jpeg({}, spec, 192), "");
}

}  // namespace
}  // namespace retinue::runtime
