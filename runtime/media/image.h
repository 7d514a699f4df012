#pragma once

#include "parallel/base/result.h"
#include "runtime/media/frames.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace retinue::runtime {

/// What becomes of transparency. Every file that carries any is meant: gray + alpha, RGBA, palettes
/// with tRNS, a transparent colour. (qwen-vl-utils puts only RGBA on white and drops the others'.)
enum class Alpha {
  /// On white: DIV255(v · a + 255 · (255 - a)), DIV255(t) = (t + 128 + ((t + 128) >> 8)) >> 8.
  kWhite,
  /// Forgotten, as transformers does: colours under transparent pixels show.
  kDrop,
};

enum class ExifOrientation {
  kApply,   ///< turned and mirrored as the camera says, as transformers does
  kIgnore,  ///< as stored
};

struct ImageOptions {
  Alpha alpha = Alpha::kWhite;
  ExifOrientation exif_orientation = ExifOrientation::kApply;
  /// More are refused before anything is allocated.
  std::int64_t max_pixels = std::int64_t{512} << 20;
};

/// Known by their first bytes; names of files are not asked.
enum class ImageKind { kJpeg, kPng, kWebp, kOther };
ImageKind image_kind(std::span<const std::byte> bytes);

/// Whether the first bytes are those of an mp4, mov, mkv, webm, avi or gif; a hint, no promise.
bool is_video_content(std::span<const std::byte> bytes);

/// "an empty file", "a GIF", "text", "unknown bytes 00 11 …": for messages.
std::string_view describe_content(std::span<const std::byte> bytes);

/// One picture from the bytes of its file, as 8-bit RGB.  transformers: image_utils.load_image
///   bytes    a whole file: JPEG, PNG or WebP; of an animation the first frame
///   recycled frames no longer needed, for their memory: fresh pages cost as much as the decoding
///   returns  one frame [1, height, width, 3], upright
/// Numerics: equal, bit for bit, to Pillow's Image.open, exif_transpose, convert("RGB") under
/// kDrop,
///   with one exception: 16-bit gray keeps its high byte. Pillow saturates at 255, which turns such
///   a picture white.
///   No colour profile and no gamma is applied. CMYK becomes RGB by 255 - K - C·(255 - K)/255.
/// Errors: content that is no such file, a file cut short, more pixels than allowed.
Result<Frames> decode_image(std::span<const std::byte> bytes, const ImageOptions& options = {},
                            Frames recycled = {});

/// Height and width that decode_image would give, from the header alone.
/// Errors: as decode_image, as far as the header shows them.
Result<ImageSize> image_size(std::span<const std::byte> bytes, const ImageOptions& options = {});

}  // namespace retinue::runtime
