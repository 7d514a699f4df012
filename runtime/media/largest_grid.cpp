#include "runtime/media/largest_grid.h"

#include "runtime/media/patchify.h"

#include <algorithm>
#include <cmath>

namespace retinue::runtime {
namespace {

/// Above the rounding errors of smart_resize's arithmetic, far below one block.
constexpr double kSlack = 1e-9;

std::int64_t video_patches(const VisionProcessorSpec& spec, std::int64_t max_frames, double ratio) {
  const auto temporal = static_cast<double>(spec.temporal_patch_size);
  std::int64_t most = 0;
  for (std::int64_t frames = spec.temporal_patch_size; frames <= max_frames; ++frames) {
    const auto count = static_cast<double>(frames);
    const double counted = std::nearbyint(count / temporal) * temporal;
    const auto budget = static_cast<double>(spec.video.max_pixels);
    const std::int64_t blocks =
        detail::most_blocks(static_cast<double>(spec.video.min_pixels) / count, budget / count,
                            budget / counted, static_cast<double>(spec.factor()), ratio);
    const std::int64_t groups = (frames + spec.temporal_patch_size - 1) / spec.temporal_patch_size;
    most = std::max(most, groups * blocks * spec.merge_size * spec.merge_size);
  }
  return most;
}

}  // namespace

std::int64_t detail::most_blocks(double least, double most, double counted_most, double factor,
                                 double ratio) {
  const double block = factor * factor;
  // Within the budget as it is counted: the sides are only rounded.
  double blocks = std::floor(counted_most / block * (1 + kSlack));
  // Above it: both sides are rounded down, which keeps the area, or the shorter one is a block.
  blocks = std::max(blocks, std::floor(most / block * (1 + kSlack)));
  blocks = std::max(blocks, std::min(std::floor(std::sqrt(ratio * most) / factor * (1 + kSlack)),
                                     std::floor(ratio)));
  // Below it: an area of `least` whose sides are rounded up. For every height in blocks, the widest
  // image has the least height that is rounded up to it.
  const double shortest = std::sqrt(least / ratio);
  for (double rows = 1; (rows - 1) * factor <= std::sqrt(least); ++rows) {
    const double height = std::max((rows - 1) * factor, shortest);
    if (height > rows * factor) continue;
    blocks = std::max(blocks, rows * std::ceil(least / height / factor * (1 + kSlack)));
  }
  return static_cast<std::int64_t>(std::max(blocks, 1.0));
}

std::int64_t most_image_patches(const VisionProcessorSpec& spec) {
  const auto most = static_cast<double>(spec.image.max_pixels);
  return detail::most_blocks(static_cast<double>(spec.image.min_pixels), most, most,
                             static_cast<double>(spec.factor()), kMaxAspectRatio) *
         spec.merge_size * spec.merge_size;
}

std::int64_t most_video_patches(const VisionProcessorSpec& spec, std::int64_t max_frames) {
  constexpr double kPlannedRatio = 16.0;
  const std::int64_t all = video_patches(spec, max_frames, kMaxAspectRatio);
  return all <= detail::kCheapPatches ? all : video_patches(spec, max_frames, kPlannedRatio);
}

}  // namespace retinue::runtime
