#include "runtime/media/largest_grid.h"

#include "parallel/base/rng.h"
#include "runtime/media/patchify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace retinue::runtime {
namespace {

/// Patches of an image or video; 0 where its shape is refused.
std::int64_t patches(const VisionProcessorSpec& spec, std::int64_t frames, ImageSize size,
                     bool video) {
  const auto grid = patch_grid(frames, size, spec, video);
  return grid.ok() ? grid->patches() : 0;
}

VisionProcessorSpec with_budget(std::int64_t least, std::int64_t most) {
  VisionProcessorSpec spec;
  spec.image = spec.video = {.min_pixels = least, .max_pixels = most};
  return spec;
}

/// Sizes from thumbnails to 40 Mpx, of all shapes up to `ratio`.
ImageSize any_size(std::uint64_t number, double ratio) {
  const auto uniform = [&](std::uint64_t which) {
    return static_cast<double>(random_bits(mix64(which), number) >> 11) * 0x1p-53;
  };
  const double area = std::exp2(6 + 20 * uniform(1));
  const double shape = std::pow(ratio, 2 * uniform(2) - 1);
  return {.height = std::max<std::int64_t>(1, std::llround(std::sqrt(area / shape))),
          .width = std::max<std::int64_t>(1, std::llround(std::sqrt(area * shape)))};
}

constexpr std::int64_t kBudgets[][2] = {
    {65536, 16777216}, {4096, 25165824},   {65536, 65536}, {1048576, 1048576}, {4096, 65536},
    {131072, 786432},  {1000000, 1000000}, {1, 1},         {2048, 4096},       {123456, 123457}};

TEST(LargestGrid, NoImageHasMorePatches) {
  for (const auto& [least, most] : kBudgets) {
    const VisionProcessorSpec spec = with_budget(least, most);
    const std::int64_t bound = most_image_patches(spec);
    std::int64_t largest = 0;
    for (std::uint64_t i = 0; i < 20000; ++i)
      largest = std::max(largest, patches(spec, 1, any_size(i, kMaxAspectRatio), false));
    EXPECT_LE(largest, bound) << least << " " << most;
    // The sample is random and need not hold the largest grid; so many sizes come within a tenth.
    EXPECT_GE(10 * largest, 9 * bound) << least << " " << most << ": memory for what cannot be";
  }
}

TEST(LargestGrid, NoVideoUpToSixteenToOneHasMorePatches) {
  for (const auto& [least, most] : kBudgets)
    for (const std::int64_t most_frames : {2, 5, 31, 768}) {
      const VisionProcessorSpec spec = with_budget(least, most);
      const std::int64_t bound = most_video_patches(spec, most_frames);
      for (std::uint64_t i = 0; i < 3000; ++i) {
        const auto frames =
            std::min(most_frames, 2 + static_cast<std::int64_t>(random_bits(7, i) % 64));
        ASSERT_LE(patches(spec, frames, any_size(i, 16.0), true), bound)
            << least << " " << most << ", " << frames << " frames, size " << i;
      }
    }
}

TEST(LargestGrid, StripsOfASmallVideoBudgetAreCounted) {
  const VisionProcessorSpec spec = with_budget(4096, 65536);
  const std::int64_t bound = most_video_patches(spec, 8);
  for (std::uint64_t i = 0; i < 20000; ++i)
    ASSERT_LE(
        patches(spec, 2 + static_cast<std::int64_t>(i % 7), any_size(i, kMaxAspectRatio), true),
        bound)
        << i;
}

TEST(LargestGrid, AFixedBudgetIsExceededByRoundingUp) {
  EXPECT_EQ(patches(with_budget(65536, 65536), 1, {.height = 200, .width = 300}, false), 280);
  EXPECT_GE(most_image_patches(with_budget(65536, 65536)), 280);
}

TEST(LargestGrid, FramesArePaddedAfterTheBudgetIsTested) {
  VisionProcessorSpec spec;
  const ImageSize full_hd{.height = 1080, .width = 1920};
  EXPECT_EQ(patches(spec, 13, full_hd, true), 57120);
  EXPECT_GE(most_video_patches(spec, 13), 57120);
}

TEST(LargestGrid, LongStripsOfManyFramesAreLeftOut) {
  const VisionProcessorSpec spec;
  // Five frames count as four and become six: half as much again as the budget of 49,152 patches.
  EXPECT_EQ(most_video_patches(spec, 768), 73728);
  // With strips of 200:1, 384 pairs of frames.
  const double least = 4096.0 / 768, most = 25165824.0 / 768;
  EXPECT_EQ(384 * 4 * detail::most_blocks(least, most, most, 32, kMaxAspectRatio), 122880);
}

TEST(LargestGrid, ThePublishedImageBudgetIsNotRaised) {
  EXPECT_EQ(most_image_patches(VisionProcessorSpec{}), 16777216 / 256);
}

}  // namespace
}  // namespace retinue::runtime
