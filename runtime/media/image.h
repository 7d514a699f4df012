#pragma once

#include "parallel/base/result.h"
#include "runtime/media/content.h"
#include "runtime/media/frames.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace retinue::runtime {

/// The treatment of transparency, in every file that carries any: gray + alpha, RGBA, palettes with
/// tRNS, a transparent colour. (qwen-vl-utils puts only RGBA on white and drops the others'.)
enum class Alpha {
  /// On white: DIV255(v · a + 255 · (255 - a)), DIV255(t) = (t + 128 + ((t + 128) >> 8)) >> 8.
  kWhite,
  /// Dropped, as transformers does: colours under transparent pixels show.
  kDrop,
};

enum class ExifOrientation {
  kApply,   ///< turned and mirrored as the camera says, as transformers does
  kIgnore,  ///< as stored
};

struct ImageOptions {
  Alpha alpha = Alpha::kWhite;
  ExifOrientation exif_orientation = ExifOrientation::kApply;
  /// A larger image is refused before anything is allocated.
  std::int64_t max_pixels = std::int64_t{512} << 20;
};

/// The facts of a file's header.
struct ImageHeader {
  ImageSize size;      ///< as stored, before orientation
  int components = 0;  ///< of a JPEG: 1, 3 or 4; 0 for other files, whose decoders do not need it
};

/// An image file whose kind, size and orientation are known; its pixels are not decoded yet.
/// Borrows the file's bytes.
class OpenedImage {
 public:
  [[nodiscard]] ImageKind kind() const { return kind_; }
  [[nodiscard]] ImageSize stored_size() const { return header_.size; }
  /// 1 to 8 as EXIF counts; 1 under ExifOrientation::kIgnore.
  [[nodiscard]] int orientation() const { return orientation_; }
  /// The size of what decode() gives, upright.
  [[nodiscard]] ImageSize size() const;

  /// Decodes to 8-bit RGB; of an animation, the first frame (media_decoder.h refuses those).
  /// transformers: image_utils.load_image
  ///   recycled  frames no longer needed, for their memory: fresh pages cost as much as the decoding
  ///   returns   one frame [1, height, width, 3], upright
  /// Numerics: equal, bit for bit, to Pillow's Image.open, exif_transpose, convert("RGB") under
  ///   kDrop, with one exception: 16-bit gray keeps its high byte. Pillow saturates at 255, which
  ///   turns such an image white. No colour profile and no gamma is applied. CMYK becomes RGB by
  ///   255 - K - C·(255 - K)/255.
  /// Errors: a damaged file, or one cut short.
  [[nodiscard]] Result<Frames> decode(Frames recycled = {}) const;

 private:
  friend Result<OpenedImage> open_image(std::span<const std::byte>, const ImageOptions&);
  OpenedImage() = default;

  std::span<const std::byte> bytes_;
  ImageKind kind_ = ImageKind::kOther;
  ImageHeader header_;
  int orientation_ = 1;
  Alpha alpha_ = Alpha::kWhite;
};

/// Reads the header of an image file and finds its orientation.
///   bytes   a whole JPEG, PNG or WebP file; must outlive the result
/// Errors: content of another kind, a damaged header, more pixels than allowed.
Result<OpenedImage> open_image(std::span<const std::byte> bytes, const ImageOptions& options = {});

}  // namespace retinue::runtime
