#pragma once

#include "runtime/media/video.h"

#include <cstdint>
#include <string>

namespace retinue::runtime {

/// The number of pixels that an image may have after resizing; for a video, that of all its frames.
/// The files name these areas shortest_edge and longest_edge.
struct PixelBudget {
  std::int64_t min_pixels = 0;
  std::int64_t max_pixels = 0;
  friend bool operator==(const PixelBudget&, const PixelBudget&) = default;
};

/// The settings of a checkpoint for pixels. Mean and deviation are 0.5 in the whole family, and the
/// loader requires it: patches stay u8 until a table of 256 values normalises them.
struct VisionProcessorSpec {
  std::int64_t patch_size = 16;
  std::int64_t temporal_patch_size = 2;
  std::int64_t merge_size = 2;
  PixelBudget image{.min_pixels = 65536, .max_pixels = 16777216};
  PixelBudget video{.min_pixels = 4096, .max_pixels = 25165824};
  FrameSampling frames{};

  /// Sides of a resized image are multiples of this.
  [[nodiscard]] std::int64_t factor() const { return patch_size * merge_size; }
};

/// Reads preprocessor_config.json and video_preprocessor_config.json of a checkpoint folder.
/// Without the second, videos get the reference's class defaults (131072 to 786432 pixels).
/// Throws: UsageError that names file and key, where a key is missing or has a value that the
///   engine does not support.
VisionProcessorSpec load_processor_spec(const std::string& directory);

}  // namespace retinue::runtime
