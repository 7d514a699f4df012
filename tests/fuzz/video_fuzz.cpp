// Any bytes as a video file: its header, every frame, and a few frames with skips. A libFuzzer
// target, see CMakeLists.txt.
#include "parallel/base/check.h"
#include "runtime/media/image_webp_video.h"
#include "runtime/media/video_ffmpeg.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue::runtime;
  const auto bytes = std::as_bytes(std::span(data, size));
  const ImageOptions options{.max_pixels = 1 << 16};
  const auto video = image_kind(bytes) == ImageKind::kWebp ? open_webp_video(bytes, options)
                                                           : open_video(bytes, options);
  if (!video.ok()) return 0;
  const VideoHeader& header = (*video)->header();
  const auto frames = std::ssize(header.times_s);
  retinue::check(frames > 0 && header.size.pixels() > 0, "a video that opens has frames");
  std::vector<std::int64_t> all, some = {0, 0, frames / 2, frames - 1};
  for (std::int64_t i = 0; i < frames && i < 100; ++i) all.push_back(i);
  for (const auto& indices : {all, some}) {
    std::ptrdiff_t taken = 0;
    const auto failed = (*video)->decode(indices, [&](std::span<const std::uint8_t> rgb) {
      retinue::check(std::ssize(rgb) == header.size.pixels() * 3, "pixels have another size");
      ++taken;
    });
    retinue::check(failed || taken == std::ssize(indices), "frames are missing without an error");
  }
  return 0;
}
