#include "runtime/media/patchify.h"

#include "runtime/media/resize.h"
#include "tests/runtime/media/image_golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace retinue::runtime {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;

constexpr PixelBudget kImages{.min_pixels = 65536, .max_pixels = 16777216};
constexpr PixelBudget kVideos{.min_pixels = 4096, .max_pixels = 25165824};

struct SizeCase {
  ImageSize from;
  ImageSize to;
};

TEST(SmartResize, KnownSizes) {
  for (const auto& [from, to] : std::initializer_list<SizeCase>{{{1080, 1920}, {1088, 1920}},
                                                                {{720, 1280}, {704, 1280}},
                                                                {{480, 640}, {480, 640}},
                                                                {{1364, 2048}, {1376, 2048}},
                                                                {{224, 224}, {256, 256}},
                                                                {{20, 20}, {256, 256}},
                                                                {{80, 1000}, {96, 928}},
                                                                {{112, 1000}, {128, 992}},
                                                                {{10, 1000}, {32, 2560}},
                                                                {{6000, 8000}, {3520, 4704}},
                                                                {{5000, 9000}, {3040, 5472}},
                                                                {{40, 7000}, {32, 7008}},
                                                                {{4112, 4096}, {4096, 4096}}}) {
    const auto size = smart_resize_image(from, 32, kImages);
    ASSERT_TRUE(size.ok());
    EXPECT_EQ(*size, to) << from.height << " x " << from.width << " became " << size->height
                         << " x " << size->width;
  }
}

/// [height, width] of the reference, or its error's text.
void expect_size(const Json& wanted, const Result<ImageSize>& got, const Json& row) {
  ASSERT_EQ(got.ok(), wanted.is_array()) << row.dump();
  if (!got.ok()) return;
  EXPECT_EQ(Json({got->height, got->width}), wanted) << row.dump();
}

TEST(SmartResize, EqualsTheReferenceOnImages) {
  const Json rows = read_golden("model/tables.json")["image_smart_resize"]["rows"];
  ASSERT_GE(rows.size(), 80U);
  for (const Json& row : rows)
    expect_size(row[4],
                smart_resize_image({.height = row[0], .width = row[1]}, 32,
                                   {.min_pixels = row[2], .max_pixels = row[3]}),
                row);
}

TEST(SmartResize, EqualsTheReferenceOnVideos) {
  const Json table = read_golden("model/tables.json")["video_smart_resize"];
  for (const char* part : {"rows", "rows_decided_by_odd_frames"}) {
    ASSERT_GE(table[part].size(), 10U);
    for (const Json& row : table[part]) {
      const PixelBudget budget{.min_pixels = row[3], .max_pixels = row[4]};
      expect_size(row[5],
                  smart_resize_video(row[0], {.height = row[1], .width = row[2]}, 2, 32, budget),
                  row);
    }
  }
}

TEST(SmartResize, RefusalNamesTheNumbers) {
  EXPECT_THAT(smart_resize_image({.height = 1, .width = 201}, 32, kImages).error().message,
              HasSubstr("201 x 1 pixels"));
  EXPECT_TRUE(smart_resize_image({.height = 1, .width = 200}, 32, kImages).ok());
  EXPECT_THAT(smart_resize_video(1, {.height = 64, .width = 64}, 2, 32, kVideos).error().message,
              HasSubstr("at least 2 frames, got 1"));
  EXPECT_THAT(smart_resize_video(2, {.height = 31, .width = 64}, 2, 32, kVideos).error().message,
              HasSubstr("64 x 31 pixels"));
}

/// Frames in which every sample encodes its position, modulo a prime.
Frames coded(std::int64_t frames, std::int64_t height, std::int64_t width) {
  Frames out{.pixels = {}, .frames = frames, .height = height, .width = width, .timestamps_s = {}};
  for (std::int64_t i = 0; i < out.size_bytes(); ++i)
    out.pixels.push_back(static_cast<std::uint8_t>(i % 251));
  return out;
}

/// The order of rows and columns, written as the formula says it.
std::vector<std::uint8_t> reference_patches(const Frames& frames, const VisionProcessorSpec& spec) {
  const std::int64_t patch = spec.patch_size;
  const std::int64_t merge = spec.merge_size;
  const std::int64_t temporal = spec.temporal_patch_size;
  const std::int64_t groups = (frames.frames + temporal - 1) / temporal;
  std::vector<std::uint8_t> out;
  const auto columns = [&](std::int64_t t, std::int64_t y0, std::int64_t x0) {
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t tp = 0; tp < temporal; ++tp)
        for (std::int64_t y = y0; y < y0 + patch; ++y)
          for (std::int64_t x = x0; x < x0 + patch; ++x) {
            const std::int64_t frame = std::min(t * temporal + tp, frames.frames - 1);
            out.push_back(frames.pixels[static_cast<std::size_t>(
                ((frame * frames.height + y) * frames.width + x) * 3 + c)]);
          }
  };
  for (std::int64_t t = 0; t < groups; ++t)
    for (std::int64_t by = 0; by < frames.height / patch / merge; ++by)
      for (std::int64_t bx = 0; bx < frames.width / patch / merge; ++bx)
        for (std::int64_t iy = 0; iy < merge; ++iy)
          for (std::int64_t ix = 0; ix < merge; ++ix)
            columns(t, (by * merge + iy) * patch, (bx * merge + ix) * patch);
  return out;
}

TEST(Patchify, RowsAndColumnsAreInMergeOrder) {
  for (const std::int64_t frames : {1, 2, 3, 5}) {
    for (const std::int64_t patch : {16, 14, 4}) {
      for (const std::int64_t temporal : {1, 2, 3}) {
        VisionProcessorSpec spec{
            .patch_size = patch, .temporal_patch_size = temporal, .merge_size = patch == 4 ? 3 : 2};
        const Frames source = coded(frames, 3 * spec.factor(), 5 * spec.factor());
        const layers::Patches patches = patchify(source, spec);
        EXPECT_EQ(patches.grid_thw.patches() * 3 * temporal * patch * patch,
                  std::ssize(patches.pixels));
        ASSERT_EQ(patches.pixels, reference_patches(source, spec))
            << frames << " frames, patch " << patch << ", temporal " << temporal;
      }
    }
  }
}

TEST(ToPatches, StillImageFillsBothTemporalSlots) {
  const auto patches = to_patches(coded(1, 300, 200), {}, false);
  ASSERT_TRUE(patches.ok());
  EXPECT_EQ(patches->grid_thw, (layers::GridThw{.frames = 1, .rows = 20, .columns = 14}));
  for (std::size_t i = 0; i < patches->pixels.size(); i += 512)
    for (std::size_t k = 0; k < 256; ++k)
      ASSERT_EQ(patches->pixels[i + k], patches->pixels[i + 256 + k]);
}

TEST(ToPatches, EveryFrameOfAVideoIsResizedAlone) {
  const VisionProcessorSpec spec;
  const Frames video = coded(3, 50, 70);
  const auto patches = to_patches(video, spec, true);
  ASSERT_TRUE(patches.ok()) << patches.error().message;
  EXPECT_EQ(patches->grid_thw, (layers::GridThw{.frames = 2, .rows = 4, .columns = 4}));
  const auto grid = patch_grid(3, {.height = 50, .width = 70}, spec, true);
  EXPECT_EQ(*grid, patches->grid_thw);
  Frames small{.pixels = {}, .frames = 3, .height = 64, .width = 64, .timestamps_s = {}};
  for (std::size_t f = 0; f < 3; ++f) {
    std::vector<std::uint8_t> out(64 * 64 * 3);
    resize_bicubic_u8(std::span(video.pixels).subspan(f * 50 * 70 * 3, 50 * 70 * 3),
                      {.height = 50, .width = 70}, out, {.height = 64, .width = 64});
    small.pixels.insert(small.pixels.end(), out.begin(), out.end());
  }
  EXPECT_EQ(patches->pixels, reference_patches(small, spec));
}

}  // namespace
}  // namespace retinue::runtime
