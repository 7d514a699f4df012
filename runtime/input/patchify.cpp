#include "runtime/input/patchify.h"

#include "parallel/base/check.h"
#include "runtime/input/pixel_kernels.h"
#include "runtime/input/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace retinue::runtime {
namespace {

DataError error(std::string message) { return {.stage = "image", .message = std::move(message)}; }

constexpr double kMaxRatio = 200.0;

Result<ImageSize> smart_resize(std::int64_t frames, std::int64_t rounded_frames, ImageSize size,
                               std::int64_t factor, const PixelBudget& budget) {
  check(size.height > 0 && size.width > 0 && factor > 0, "smart_resize: an empty picture");
  const auto height = static_cast<double>(size.height);
  const auto width = static_cast<double>(size.width);
  const auto unit = static_cast<double>(factor);
  const double ratio = std::max(height, width) / std::min(height, width);
  if (ratio > kMaxRatio) {
    return error(fmt::format(
        "{} x {} pixels: one side is {:.1f} times the other, at most {} are read. Crop it.",
        size.width, size.height, ratio, kMaxRatio));
  }
  double target_height = std::nearbyint(height / unit) * unit;
  double target_width = std::nearbyint(width / unit) * unit;
  const double volume = static_cast<double>(rounded_frames) * target_height * target_width;
  const auto pixels = static_cast<double>(frames * size.pixels());
  const auto least = static_cast<double>(budget.min_pixels);
  const auto most = static_cast<double>(budget.max_pixels);
  if (volume > most) {
    const double beta = std::sqrt(pixels / most);
    target_height = std::max(unit, std::floor(height / beta / unit) * unit);
    target_width = std::max(unit, std::floor(width / beta / unit) * unit);
  } else if (volume < least) {
    const double beta = std::sqrt(least / pixels);
    target_height = std::ceil(height * beta / unit) * unit;
    target_width = std::ceil(width * beta / unit) * unit;
  }
  // Only a budget below one block per side leaves nothing.
  if (target_height < 1.0 || target_width < 1.0)
    return error(fmt::format("{} x {} pixels become nothing within {} to {} pixels", size.width,
                             size.height, budget.min_pixels, budget.max_pixels));
  return ImageSize{.height = static_cast<std::int64_t>(target_height),
                   .width = static_cast<std::int64_t>(target_width)};
}

Result<ImageSize> resized(std::int64_t frames, ImageSize size, const VisionProcessorSpec& spec,
                          bool video) {
  if (video)
    return smart_resize_video(frames, size, spec.temporal_patch_size, spec.factor(), spec.video);
  return smart_resize_image(size, spec.factor(), spec.image);
}

}  // namespace

Result<ImageSize> smart_resize_image(ImageSize size, std::int64_t factor,
                                     const PixelBudget& budget) {
  return smart_resize(1, 1, size, factor, budget);
}

Result<ImageSize> smart_resize_video(std::int64_t frames, ImageSize size,
                                     std::int64_t temporal_patch_size, std::int64_t factor,
                                     const PixelBudget& budget) {
  if (frames < temporal_patch_size)
    return error(
        fmt::format("a video needs at least {} frames, got {}", temporal_patch_size, frames));
  if (size.height < factor || size.width < factor) {
    return error(fmt::format("frames of {} x {} pixels: both sides must be at least {}", size.width,
                             size.height, factor));
  }
  const auto temporal = static_cast<double>(temporal_patch_size);
  const auto rounded =
      static_cast<std::int64_t>(std::nearbyint(static_cast<double>(frames) / temporal) * temporal);
  return smart_resize(frames, rounded, size, factor, budget);
}

Result<layers::GridThw> patch_grid(std::int64_t frames, ImageSize size,
                                   const VisionProcessorSpec& spec, bool video) {
  const auto target = resized(frames, size, spec, video);
  if (!target.ok()) return target.error();
  return layers::GridThw{
      .frames = (frames + spec.temporal_patch_size - 1) / spec.temporal_patch_size,
      .rows = target->height / spec.patch_size,
      .columns = target->width / spec.patch_size};
}

layers::Patches patchify(const Frames& frames, const VisionProcessorSpec& spec) {
  const std::int64_t patch = spec.patch_size;
  const std::int64_t temporal = spec.temporal_patch_size;
  const std::int64_t merge = spec.merge_size;
  check(frames.frames > 0 && frames.height > 0 && frames.width > 0, "patchify: nothing to cut");
  check(frames.height % spec.factor() == 0 && frames.width % spec.factor() == 0,
        "patchify: not whole merge blocks");
  check(std::ssize(frames.pixels) == frames.size_bytes(),
        "patchify: pixels are not [frames, height, width, 3]");

  layers::Patches patches;
  patches.grid_thw = {.frames = (frames.frames + temporal - 1) / temporal,
                      .rows = frames.height / patch,
                      .columns = frames.width / patch};
  const std::int64_t plane = temporal * patch * patch;  // one channel of a patch
  patches.pixels.resize(static_cast<std::size_t>(patches.grid_thw.patches() * 3 * plane));
  const bool wide = patch % 16 == 0 && detail::best_isa() == detail::Isa::kAvx2;
  const auto split = wide ? detail::split_channels_avx2 : detail::split_channels;
  // A still image: both slots are written while its pixels are in registers.
  const bool still = frames.frames == 1 && temporal == 2;
  const std::ptrdiff_t copy = still ? patch * patch : 0;
  for (std::int64_t slot = 0; slot < patches.grid_thw.frames * temporal; slot += still ? 2 : 1) {
    const std::uint8_t* row =
        frames.pixels.data() + std::min(slot, frames.frames - 1) * frames.height * frames.width * 3;
    std::uint8_t* group = patches.pixels.data() + slot / temporal * patches.grid_thw.rows *
                                                      patches.grid_thw.columns * 3 * plane;
    for (std::int64_t y = 0; y < frames.height; ++y, row += frames.width * 3) {
      const std::int64_t block_row = y / patch / merge;
      const std::int64_t inner_row = y / patch % merge;
      for (std::int64_t x = 0; x < patches.grid_thw.columns; ++x) {
        const std::int64_t block = block_row * (patches.grid_thw.columns / merge) + x / merge;
        const std::int64_t index = (block * merge + inner_row) * merge + x % merge;
        std::uint8_t* out =
            group + index * 3 * plane + (slot % temporal * patch + y % patch) * patch;
        split(row + x * patch * 3, patch, out, out + plane, out + 2 * plane, copy);
      }
    }
  }
  return patches;
}

void detail::split_channels(const std::uint8_t* rgb, std::int64_t pixels, std::uint8_t* red,
                            std::uint8_t* green, std::uint8_t* blue, std::ptrdiff_t copy) {
  for (std::int64_t i = 0; i < pixels; ++i, rgb += 3) {
    red[i] = red[i + copy] = rgb[0];
    green[i] = green[i + copy] = rgb[1];
    blue[i] = blue[i + copy] = rgb[2];
  }
}

Result<layers::Patches> to_patches(const Frames& frames, const VisionProcessorSpec& spec,
                                   bool video) {
  check(video || frames.frames == 1, "to_patches: a still image has one frame");
  const ImageSize from{.height = frames.height, .width = frames.width};
  const auto to = resized(frames.frames, from, spec, video);
  if (!to.ok()) return to.error();
  if (*to == from) return patchify(frames, spec);
  Frames target{.pixels = {},
                .frames = frames.frames,
                .height = to->height,
                .width = to->width,
                .timestamps_s = {}};
  target.pixels.resize(static_cast<std::size_t>(target.size_bytes()));
  const auto in_bytes = static_cast<std::size_t>(from.pixels() * 3);
  const auto out_bytes = static_cast<std::size_t>(to->pixels() * 3);
  for (std::size_t f = 0; f < static_cast<std::size_t>(frames.frames); ++f) {
    resize_bicubic_u8(std::span(frames.pixels).subspan(f * in_bytes, in_bytes), from,
                      std::span(target.pixels).subspan(f * out_bytes, out_bytes), *to);
  }
  return patchify(target, spec);
}

}  // namespace retinue::runtime
