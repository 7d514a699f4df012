// Any bytes as an image file: size, pixels under both policies, patches. A libFuzzer target, see
// CMakeLists.txt.
#include "parallel/base/check.h"
#include "runtime/media/image.h"
#include "runtime/media/patchify.h"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace retinue::runtime;
  const auto bytes = std::as_bytes(std::span(data, size));
  for (const Alpha alpha : {Alpha::kDrop, Alpha::kWhite}) {
    const ImageOptions options{.alpha = alpha, .max_pixels = 1 << 20};
    const auto image = open_image(bytes, options);
    if (!image.ok()) continue;
    const ImageSize upright = image->size();
    const auto frames = image->decode();
    if (!frames.ok()) continue;
    retinue::check(upright.height == frames->height && upright.width == frames->width,
                   "header and pixels disagree");
    retinue::check(std::ssize(frames->pixels) == frames->size_bytes(), "pixels have another size");
    const VisionProcessorSpec spec{.image = {.min_pixels = 1024, .max_pixels = 16384}};
    const auto patches = to_patches(*frames, spec, false);
    const auto grid = patch_grid(1, upright, spec, false);
    retinue::check(patches.ok() == grid.ok(), "grid and patches disagree");
  }
  return 0;
}
