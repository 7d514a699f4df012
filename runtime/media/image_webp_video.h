#pragma once

#include "parallel/base/result.h"
#include "runtime/media/image.h"
#include "runtime/media/video_ffmpeg.h"

#include <cstddef>
#include <memory>
#include <span>

namespace retinue::runtime {

// Tested through tests/runtime/media/video_containers_test.cpp.

/// An animated WebP as a video, in every build: FFmpeg's libraries do not read it.
///   bytes     a whole file; must outlive the result
///   options   as of open_image: alpha, orientation, the most pixels of a frame
/// Times are the sums of the durations; where these are all zero, those of the assumed rate.
/// Numerics: equal, bit for bit, to Pillow's frames converted to RGB under Alpha::kDrop.
/// Errors, of stage "video": a damaged file, one cut short, too many pixels.
Result<std::unique_ptr<Video>> open_webp_video(std::span<const std::byte> bytes,
                                               const ImageOptions& options);

}  // namespace retinue::runtime
