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
    const auto header = image_size(bytes, options);
    const auto frames = decode_image(bytes, options);
    if (!frames.ok()) continue;
    retinue::check(
        header.ok() && header->height == frames->height && header->width == frames->width,
        "header and pixels disagree");
    retinue::check(std::ssize(frames->pixels) == frames->size_bytes(), "pixels have another size");
    const VisionProcessorSpec spec{.image = {.min_pixels = 1024, .max_pixels = 16384}};
    const auto patches = to_patches(*frames, spec, false);
    const auto grid = patch_grid(1, *header, spec, false);
    retinue::check(patches.ok() == grid.ok(), "grid and patches disagree");
  }
  return 0;
}
