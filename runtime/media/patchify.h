#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/media/frames.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <memory>
#include <span>

namespace retinue::runtime {

/// A longer strip is refused.
inline constexpr double kMaxAspectRatio = 200.0;

/// The size to which an image is resized: sides are multiples of `factor`, and the area is within
/// the budget as far as rounding allows.  transformers: qwen2_vl smart_resize
/// Numerics: f64; rounding is half to even, so that 720 becomes 704.
/// Errors: one side more than kMaxAspectRatio times the other.
Result<ImageSize> smart_resize_image(ImageSize size, std::int64_t factor,
                                     const PixelBudget& budget);

/// The same for a video, whose budget is the volume frames · height · width.
/// transformers 4.57.3: qwen3_vl smart_resize, comparing with rne(frames / temporal) · temporal
///   frames   chosen frames, before padding to whole groups
/// Errors: as above; fewer frames than temporal_patch_size; a side shorter than `factor`.
Result<ImageSize> smart_resize_video(std::int64_t frames, ImageSize size,
                                     std::int64_t temporal_patch_size, std::int64_t factor,
                                     const PixelBudget& budget);

/// The grid of patches of an image or video of this size, computed without pixels; for costs and
/// placeholders.   Errors: as smart_resize_*.
Result<layers::GridThw> patch_grid(std::int64_t frames, ImageSize size,
                                   const VisionProcessorSpec& spec, bool video);

/// Cuts frames of a final size into patches.  transformers: Qwen2VLImageProcessorFast._preprocess
///   frames   sides are multiples of spec.factor(); an incomplete last group repeats its last
///            frame, so a still image fills both temporal slots
///   returns  rows in the order (t, by, bx, iy, ix), columns (c, tp, py, px): four consecutive
///            rows are one merge block
layers::Patches patchify(const Frames& frames, const VisionProcessorSpec& spec);

/// Resizes and cuts: everything between decoded pixels and the vision tower.
///   recycled  patches no longer needed, for their memory
/// Errors: as smart_resize_*.
Result<layers::Patches> to_patches(const Frames& frames, const VisionProcessorSpec& spec,
                                   bool video, layers::Patches recycled = {});

/// to_patches frame by frame, for videos that are never held whole.
class PatchCutter {
 public:
  /// Errors: as smart_resize_*.
  static Result<PatchCutter> start(std::int64_t frames, ImageSize size,
                                   const VisionProcessorSpec& spec, bool video,
                                   layers::Patches recycled = {});
  PatchCutter(PatchCutter&&) noexcept;
  PatchCutter& operator=(PatchCutter&&) noexcept;
  ~PatchCutter();

  /// The next frame, [height, width, 3].
  void add(std::span<const std::uint8_t> rgb);
  /// Call after as many frames as start() was given.
  layers::Patches finish();

 private:
  struct State;
  explicit PatchCutter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace retinue::runtime
