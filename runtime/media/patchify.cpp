#include "runtime/media/patchify.h"

#include "parallel/base/check.h"
#include "runtime/media/pixel_kernels.h"
#include "runtime/media/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

DataError error(std::string message) { return {.stage = "image", .message = std::move(message)}; }

Result<ImageSize> smart_resize(std::int64_t frames, std::int64_t rounded_frames, ImageSize size,
                               std::int64_t factor, const PixelBudget& budget) {
  check(size.height > 0 && size.width > 0 && factor > 0, "smart_resize: an empty image");
  const auto height = static_cast<double>(size.height);
  const auto width = static_cast<double>(size.width);
  const auto unit = static_cast<double>(factor);
  const double ratio = std::max(height, width) / std::min(height, width);
  if (ratio > kMaxAspectRatio) {
    return error(fmt::format(
        "{} x {} pixels: one side is {:.1f} times the other, at most {} are read. Crop it.",
        size.width, size.height, ratio, kMaxAspectRatio));
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
  // Zero only for a budget below one block per side.
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

/// Copies rows of a resized frame to their places in the patches.
class PatchWriter {
 public:
  PatchWriter(const VisionProcessorSpec& spec, ImageSize size, std::int64_t frames,
              layers::Patches& patches)
      : spec_(spec), columns_(size.width / spec.patch_size), frames_(frames), patches_(patches) {
    const std::int64_t temporal = spec.temporal_patch_size;
    patches.grid_thw = {.frames = (frames + temporal - 1) / temporal,
                        .rows = size.height / spec.patch_size,
                        .columns = columns_};
    plane_ = temporal * spec.patch_size * spec.patch_size;
    patches.pixels.resize(static_cast<std::size_t>(patches.grid_thw.patches() * 3 * plane_));
    const bool wide = spec.patch_size % 16 == 0 && detail::best_isa() == detail::Isa::kAvx2;
    split_ = wide ? detail::split_patch_avx2 : detail::split_patch;
  }

  ///   rows  patch_size rows of a frame: one row of patches. The last frame also fills the rest of
  ///         its group
  void write(const std::uint8_t* rows, std::int64_t frame, std::int64_t patch_row) {
    const std::int64_t temporal = spec_.temporal_patch_size;
    const std::int64_t end = frame + 1 < frames_ ? frame + 1 : patches_.grid_thw.frames * temporal;
    std::int64_t slot = frame;
    // Fills two temporal slots while the pixels are in registers.
    for (; slot + 1 < end; slot += 2)
      write_slot(rows, slot, patch_row, spec_.patch_size * spec_.patch_size);
    if (slot < end) write_slot(rows, slot, patch_row, 0);
  }

 private:
  void write_slot(const std::uint8_t* rows, std::int64_t slot, std::int64_t patch_row,
                  std::int64_t copy) {
    const std::int64_t patch = spec_.patch_size;
    const std::int64_t merge = spec_.merge_size;
    const std::int64_t group = slot / spec_.temporal_patch_size * patches_.grid_thw.rows * columns_;
    std::uint8_t* first = patches_.pixels.data() + slot % spec_.temporal_patch_size * patch * patch;
    for (std::int64_t x = 0; x < columns_; ++x) {
      const std::int64_t block = patch_row / merge * (columns_ / merge) + x / merge;
      const std::int64_t index = group + (block * merge + patch_row % merge) * merge + x % merge;
      split_(rows + x * patch * 3, columns_ * patch * 3, patch, first + index * 3 * plane_, plane_,
             copy);
    }
  }

  const VisionProcessorSpec& spec_;
  std::int64_t columns_;
  std::int64_t frames_;
  std::int64_t plane_ = 0;  ///< one channel of a patch
  layers::Patches& patches_;
  decltype(&detail::split_patch) split_ = nullptr;
};

/// Resizes and cuts, one row of patches at a time.
class BandCutter {
 public:
  BandCutter(std::int64_t frames, ImageSize from, ImageSize to, const VisionProcessorSpec& spec,
             layers::Patches recycled)
      : spec_(spec),
        from_(from),
        patches_(std::move(recycled)),
        writer_(spec_, to, frames, patches_),
        resizer_(from, to, detail::best_isa()),
        scratch_(static_cast<std::size_t>(spec.patch_size * to.width * 3)),
        frames_(frames) {}
  BandCutter(const BandCutter&) = delete;  // the writer points into the patches

  void add(std::span<const std::uint8_t> rgb) {
    check(std::ssize(rgb) == from_.pixels() * 3 && done_ < frames_,
          "patches: pixels are not [frames, height, width, 3]");
    resizer_.start(rgb.data());
    for (std::int64_t row = 0; row < patches_.grid_thw.rows; ++row) {
      const std::int64_t y = row * spec_.patch_size;
      writer_.write(resizer_.band(y, y + spec_.patch_size, scratch_.data()), done_, row);
    }
    ++done_;
  }

  layers::Patches finish() {
    check(done_ == frames_, "patches: as many frames as were announced");
    detail::publish_patches();
    return std::move(patches_);
  }

 private:
  VisionProcessorSpec spec_;
  ImageSize from_;
  layers::Patches patches_;
  PatchWriter writer_;
  detail::BandResizer resizer_;
  std::vector<std::uint8_t> scratch_;
  std::int64_t frames_;
  std::int64_t done_ = 0;
};

layers::Patches cut(const Frames& frames, ImageSize to, const VisionProcessorSpec& spec,
                    layers::Patches recycled) {
  check(std::ssize(frames.pixels) == frames.size_bytes(),
        "patches: pixels are not [frames, height, width, 3]");
  const ImageSize from{.height = frames.height, .width = frames.width};
  BandCutter cutter(frames.frames, from, to, spec, std::move(recycled));
  const auto bytes = static_cast<std::size_t>(from.pixels() * 3);
  for (std::size_t f = 0; f < static_cast<std::size_t>(frames.frames); ++f)
    cutter.add(std::span(frames.pixels).subspan(f * bytes, bytes));
  return cutter.finish();
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
  check(frames.frames > 0 && frames.height > 0 && frames.width > 0, "patchify: nothing to cut");
  check(frames.height % spec.factor() == 0 && frames.width % spec.factor() == 0,
        "patchify: not whole merge blocks");
  return cut(frames, {.height = frames.height, .width = frames.width}, spec, {});
}

void detail::split_patch(const std::uint8_t* rgb, std::int64_t row_bytes, std::int64_t patch,
                         std::uint8_t* out, std::int64_t plane, std::int64_t copy) {
  for (std::int64_t y = 0; y < patch; ++y, rgb += row_bytes)
    for (std::int64_t x = 0; x < patch; ++x, ++out)
      for (std::int64_t c = 0; c < 3; ++c) out[c * plane] = out[c * plane + copy] = rgb[x * 3 + c];
}

Result<layers::Patches> to_patches(const Frames& frames, const VisionProcessorSpec& spec,
                                   bool video, layers::Patches recycled) {
  check(video || frames.frames == 1, "to_patches: a still image has one frame");
  const auto to =
      resized(frames.frames, {.height = frames.height, .width = frames.width}, spec, video);
  if (!to.ok()) return to.error();
  return cut(frames, *to, spec, std::move(recycled));
}

struct PatchCutter::State : BandCutter {
  using BandCutter::BandCutter;
};

PatchCutter::PatchCutter(std::unique_ptr<State> state) : state_(std::move(state)) {}
PatchCutter::PatchCutter(PatchCutter&&) noexcept = default;
PatchCutter& PatchCutter::operator=(PatchCutter&&) noexcept = default;
PatchCutter::~PatchCutter() = default;

Result<PatchCutter> PatchCutter::start(std::int64_t frames, ImageSize size,
                                       const VisionProcessorSpec& spec, bool video,
                                       layers::Patches recycled) {
  const auto to = resized(frames, size, spec, video);
  if (!to.ok()) return to.error();
  return PatchCutter(std::make_unique<State>(frames, size, *to, spec, std::move(recycled)));
}

void PatchCutter::add(std::span<const std::uint8_t> rgb) { state_->add(rgb); }
layers::Patches PatchCutter::finish() { return state_->finish(); }

}  // namespace retinue::runtime
