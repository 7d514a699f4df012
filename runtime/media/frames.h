#pragma once

// Tested through tests/runtime/media/image_test.cpp.

#include "parallel/base/result.h"

#include <cstdint>
#include <vector>

namespace retinue::runtime {

struct ImageSize {
  std::int64_t height = 0;
  std::int64_t width = 0;

  [[nodiscard]] std::int64_t pixels() const { return height * width; }
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// Decoded pixels: one still image, or the chosen frames of a video.
struct Frames {
  std::vector<std::uint8_t> pixels;  ///< [frames, height, width, 3], RGB
  std::int64_t frames = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::vector<double>
      timestamps_s;  ///< per frame, since the start of the video; empty for an image

  /// Bytes that `pixels` must hold.
  [[nodiscard]] std::int64_t size_bytes() const { return frames * height * width * 3; }
};

}  // namespace retinue::runtime
