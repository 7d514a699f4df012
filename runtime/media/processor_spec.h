#pragma once

#include "runtime/media/video.h"

#include <cstdint>
#include <string>

namespace retinue::runtime {

/// How many pixels a picture may have after resizing. The files call them shortest_edge and
/// longest_edge, but they are areas; for a video, the volume of all its frames.
struct PixelBudget {
  std::int64_t min_pixels = 0;
  std::int64_t max_pixels = 0;
  friend bool operator==(const PixelBudget&, const PixelBudget&) = default;
};

/// What a checkpoint says about pixels. Mean and deviation are 0.5 in the whole family, and the
/// loader insists on it: patches stay u8 until a table of 256 values normalises them.
struct VisionProcessorSpec {
  std::int64_t patch_size = 16;
  std::int64_t temporal_patch_size = 2;
  std::int64_t merge_size = 2;
  PixelBudget image{.min_pixels = 65536, .max_pixels = 16777216};
  PixelBudget video{.min_pixels = 4096, .max_pixels = 25165824};
  FrameSampling frames{};

  /// Sides of a resized picture are multiples of this.
  [[nodiscard]] std::int64_t factor() const { return patch_size * merge_size; }
};

/// Reads preprocessor_config.json and video_preprocessor_config.json of a checkpoint folder.
/// Without the second, videos get the reference's class defaults (131072 to 786432 pixels). Throws:
/// UsageError that names file and key, where one is missing or asks for something that the
///   engine does not do.
VisionProcessorSpec load_processor_spec(const std::string& directory);

}  // namespace retinue::runtime
