#include "runtime/media/image.h"

#include "runtime/media/exif.h"
#include "runtime/media/image_codecs.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace retinue::runtime {
namespace {

DataError error(std::string message) { return {.stage = "image", .message = std::move(message)}; }

DataError refuse_content(std::span<const std::byte> bytes) {
  const std::string_view what = describe_content(bytes);
  std::string detail;
  if (what == "unknown bytes") {
    for (const std::byte b : bytes.first(std::min<std::size_t>(bytes.size(), 8)))
      detail += fmt::format(" {:02x}", std::to_integer<int>(b));
  }
  return error(fmt::format("wanted a JPEG, PNG or WebP, got {}{}. {}", what, detail,
                           bytes.empty() ? "The copy is incomplete; copy it again."
                                         : "Convert it to PNG or leave it out."));
}

}  // namespace

Frames detail::sized_frame(ImageSize size, Frames recycled) {
  Frames frames{.pixels = std::move(recycled.pixels),
                .frames = 1,
                .height = size.height,
                .width = size.width,
                .timestamps_s = {}};
  frames.pixels.resize(static_cast<std::size_t>(frames.size_bytes()));
  return frames;
}

void detail::rgba_to_rgb(const std::uint8_t* rgba, std::uint8_t* rgb, std::int64_t pixels,
                         Alpha alpha) {
  for (std::int64_t i = 0; i < pixels; ++i, rgba += 4, rgb += 3) {
    const unsigned a = alpha == Alpha::kDrop ? 255 : rgba[3];
    for (int c = 0; c < 3; ++c) {
      const unsigned t = rgba[c] * a + 255 * (255 - a) + 128;
      rgb[c] = static_cast<std::uint8_t>((t + (t >> 8)) >> 8);
    }
  }
}

ImageSize OpenedImage::size() const { return oriented_size(header_.size, orientation_); }

Result<OpenedImage> open_image(std::span<const std::byte> bytes, const ImageOptions& options) {
  OpenedImage image;
  image.bytes_ = bytes;
  image.kind_ = image_kind(bytes);
  image.alpha_ = options.alpha;
  if (image.kind_ == ImageKind::kOther) return refuse_content(bytes);
  const auto header = image.kind_ == ImageKind::kJpeg  ? detail::read_jpeg_header(bytes)
                      : image.kind_ == ImageKind::kPng ? detail::read_png_header(bytes)
                                                       : detail::read_webp_header(bytes);
  if (!header.ok()) return header.error();
  const ImageSize size = header->size;
  // Both sides are below 2^31, so that the product cannot overflow.
  if (size.pixels() > options.max_pixels) {
    return error(
        fmt::format("the header says {} x {} = {} pixels, the limit is {}. Make the image "
                    "smaller or raise the limit.",
                    size.width, size.height, size.pixels(), options.max_pixels));
  }
  image.header_ = *header;
  if (options.exif_orientation == ExifOrientation::kApply)
    image.orientation_ = image_orientation(bytes, image.kind_);
  return image;
}

Result<Frames> OpenedImage::decode(Frames recycled) const {
  Frames target = detail::sized_frame(header_.size, std::move(recycled));
  auto frames = kind_ == ImageKind::kJpeg
                    ? detail::decode_jpeg(bytes_, std::move(target), header_.components)
                : kind_ == ImageKind::kPng ? detail::decode_png(bytes_, std::move(target), alpha_)
                                           : detail::decode_webp(bytes_, std::move(target), alpha_);
  if (frames.ok()) apply_orientation(*frames, orientation_);
  return frames;
}

}  // namespace retinue::runtime
