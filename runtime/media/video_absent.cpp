// Replaces video_ffmpeg.cpp in a build without FFmpeg's libraries.
#include "runtime/media/content.h"
#include "runtime/media/video_ffmpeg.h"

#include <fmt/format.h>

namespace retinue::runtime {

Result<std::unique_ptr<Video>> open_video(std::span<const std::byte> bytes, const ImageOptions&) {
  return DataError{
      "video",
      fmt::format("{}, and this build reads no video files. Install FFmpeg's libraries "
                  "(scripts/setup.sh --video) and build again, or give the frames as images.",
                  describe_content(bytes))};
}

std::string video_libraries() { return {}; }

}  // namespace retinue::runtime
