#include "runtime/media/image_thumbnail.h"

#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace retinue::runtime {
namespace {

constexpr int kQuality = 75;

struct Destroy {
  void operator()(void* handle) const { tjDestroy(handle); }
};
struct Free {
  void operator()(unsigned char* bytes) const { tjFree(bytes); }
};

/// The first frame, pixel by pixel, in the order of patchify.h.
class FirstFrame {
 public:
  FirstFrame(const layers::Patches& patches, const VisionProcessorSpec& spec)
      : pixels_(patches.pixels.data()),
        patch_(spec.patch_size),
        merge_(spec.merge_size),
        blocks_per_row_(patches.grid_thw.columns / spec.merge_size),
        channel_(spec.temporal_patch_size * spec.patch_size * spec.patch_size) {}

  /// The red of a pixel; green and blue follow at distances of channel().
  [[nodiscard]] const std::uint8_t* at(std::int64_t y, std::int64_t x) const {
    const std::int64_t row = y / patch_, column = x / patch_;
    const std::int64_t block = row / merge_ * blocks_per_row_ + column / merge_;
    const std::int64_t index = (block * merge_ + row % merge_) * merge_ + column % merge_;
    return pixels_ + index * 3 * channel_ + y % patch_ * patch_ + x % patch_;
  }
  [[nodiscard]] std::int64_t channel() const { return channel_; }

 private:
  const std::uint8_t* pixels_;
  std::int64_t patch_, merge_, blocks_per_row_, channel_;
};

/// Up to four input positions, evenly spread over the range that output position `at` covers.
struct Samples {
  Samples(std::int64_t at, std::int64_t out, std::int64_t in) {
    const std::int64_t begin = at * in / out, end = std::max(begin + 1, (at + 1) * in / out);
    count = std::min<std::int64_t>(4, end - begin);
    for (std::int64_t i = 0; i < count; ++i)
      position[i] = begin + (2 * i + 1) * (end - begin) / (2 * count);
  }
  std::int64_t count;
  std::int64_t position[4] = {};
};

}  // namespace

std::string thumbnail_jpeg(const layers::Patches& patches, const VisionProcessorSpec& spec,
                           std::int64_t max_side) {
  const layers::GridThw& grid = patches.grid_thw;
  const std::int64_t height = grid.rows * spec.patch_size, width = grid.columns * spec.patch_size;
  const FirstFrame frame(patches, spec);
  if (height <= 0 || width <= 0 || grid.rows % spec.merge_size != 0 ||
      grid.columns % spec.merge_size != 0 ||
      static_cast<std::int64_t>(patches.pixels.size()) <
          grid.rows * grid.columns * 3 * frame.channel())
    return {};
  const std::int64_t longest = std::max(height, width), side = std::min(longest, max_side);
  const std::int64_t out_height = std::max<std::int64_t>(1, height * side / longest);
  const std::int64_t out_width = std::max<std::int64_t>(1, width * side / longest);
  std::vector<std::uint8_t> rgb(static_cast<std::size_t>(out_height * out_width * 3));
  std::uint8_t* to = rgb.data();
  for (std::int64_t y = 0; y < out_height; ++y) {
    const Samples rows(y, out_height, height);
    for (std::int64_t x = 0; x < out_width; ++x) {
      const Samples columns(x, out_width, width);
      std::int64_t sums[3] = {};
      for (std::int64_t i = 0; i < rows.count; ++i)
        for (std::int64_t j = 0; j < columns.count; ++j) {
          const std::uint8_t* pixel = frame.at(rows.position[i], columns.position[j]);
          for (std::int64_t c = 0; c < 3; ++c) sums[c] += pixel[c * frame.channel()];
        }
      const std::int64_t count = rows.count * columns.count;
      for (const std::int64_t sum : sums)
        *to++ = static_cast<std::uint8_t>((sum + count / 2) / count);
    }
  }
  const std::unique_ptr<void, Destroy> encoder(tjInitCompress());
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  if (encoder == nullptr || tjCompress2(encoder.get(), rgb.data(), static_cast<int>(out_width), 0,
                                        static_cast<int>(out_height), TJPF_RGB, &bytes, &size,
                                        TJSAMP_420, kQuality, 0) != 0)
    return {};
  const std::unique_ptr<unsigned char, Free> owner(bytes);
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace retinue::runtime
