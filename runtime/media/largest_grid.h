#pragma once

#include "runtime/media/processor_spec.h"

#include <cstdint>

namespace retinue::runtime {

/// The most patches that an image can have after smart_resize_image. A budget's max_pixels is no
/// hard bound: sides are rounded up to reach min_pixels, and no side is shorter than one block.
std::int64_t most_image_patches(const VisionProcessorSpec& spec);

/// The most patches that a video of at most `max_frames` frames can have after smart_resize_video.
/// The budget counts a rounded number of frames, and an incomplete last group is filled up
/// afterwards: five frames count as four and become six.
///
/// Where all shapes that are read need more than kCheapPatches, videos up to 16:1 are counted and
/// longer strips are not: memory for hundreds of frames of a strip that no camera makes would be
/// taken from every job. Such a strip is refused as an item.
std::int64_t most_video_patches(const VisionProcessorSpec& spec, std::int64_t max_frames);

namespace detail {
constexpr std::int64_t kCheapPatches = 16384;
/// The most blocks of factor² pixels of one frame, for sides up to `ratio` to 1.
///   least, most   the budget of one frame's pixels
///   counted_most  `most` where the budget's count of frames differs from theirs
std::int64_t most_blocks(double least, double most, double counted_most, double factor,
                         double ratio);
}  // namespace detail
}  // namespace retinue::runtime
