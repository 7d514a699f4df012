#include "runtime/media/image.h"

#include "runtime/media/exif.h"
#include "runtime/media/image_codecs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace retinue::runtime {
namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool has_at(std::string_view text, std::size_t offset, std::string_view mark) {
  return text.size() >= offset + mark.size() && text.substr(offset, mark.size()) == mark;
}

bool looks_like_text(std::string_view head) {
  return std::ranges::all_of(head, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7F : c == '\n' || c == '\r' || c == '\t' || c == '\f';
  });
}

/// What the first bytes of files that are not read look like.
struct Magic {
  std::size_t offset;
  std::string_view mark;
  std::string_view name;
};

using namespace std::string_view_literals;
constexpr std::array kMagics = {
    Magic{0, "GIF8"sv, "a GIF"sv},
    Magic{0, "BM"sv, "a BMP"sv},
    Magic{0, "II*\0"sv, "a TIFF"sv},
    Magic{0, "MM\0*"sv, "a TIFF"sv},
    Magic{4, "ftypavif"sv, "an AVIF"sv},
    Magic{4, "ftypavis"sv, "an AVIF"sv},
    Magic{4, "ftyphei"sv, "a HEIC"sv},
    Magic{4, "ftyphev"sv, "a HEIC"sv},
    Magic{4, "ftypmif1"sv, "a HEIF"sv},
    Magic{4, "ftyp"sv, "a video or another ISO media file"sv},
    Magic{0, "\x1A\x45\xDF\xA3"sv, "a Matroska or WebM file"sv},
    Magic{8, "AVI "sv, "an AVI"sv},
    Magic{0, "\0\0\0\x0CjP  "sv, "a JPEG 2000"sv},
    Magic{0, "\xFF\x4F\xFF\x51"sv, "a JPEG 2000"sv},
    Magic{0, "\xFF\x0A"sv, "a JPEG XL"sv},
    Magic{0, "\0\0\0\x0CJXL "sv, "a JPEG XL"sv},
    Magic{0, "8BPS"sv, "a Photoshop file"sv},
    Magic{0, "%PDF"sv, "a PDF"sv},
    Magic{0, "PK\x03\x04"sv, "a ZIP archive"sv},
    Magic{0, "\x1F\x8B"sv, "gzip data"sv},
    Magic{0, "\0\0\x01\0"sv, "an icon"sv},
};

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

Result<ImageSize> stored_size(std::span<const std::byte> bytes, const ImageOptions& options) {
  const ImageKind kind = image_kind(bytes);
  if (kind == ImageKind::kOther) return refuse_content(bytes);
  auto size = kind == ImageKind::kJpeg  ? detail::jpeg_size(bytes)
              : kind == ImageKind::kPng ? detail::png_size(bytes)
                                        : detail::webp_size(bytes);
  // Both sides are below 2^31, so that the product cannot overflow.
  if (size.ok() && size->pixels() > options.max_pixels) {
    return error(
        fmt::format("the header says {} x {} = {} pixels, the limit is {}. Make the picture "
                    "smaller or raise the limit.",
                    size->width, size->height, size->pixels(), options.max_pixels));
  }
  return size;
}

}  // namespace

ImageKind image_kind(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  if (has_at(text, 0, "\xFF\xD8\xFF")) return ImageKind::kJpeg;
  if (has_at(text, 0, "\x89PNG\r\n\x1A\n")) return ImageKind::kPng;
  if (has_at(text, 0, "RIFF") && has_at(text, 8, "WEBP")) return ImageKind::kWebp;
  return ImageKind::kOther;
}

bool is_video_content(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  if (has_at(text, 0, "GIF8") || has_at(text, 0, "\x1A\x45\xDF\xA3")) return true;
  if (has_at(text, 0, "RIFF")) return has_at(text, 8, "AVI ");
  // Pictures, too, come in the container of mp4; older clips lack its first box.
  if (has_at(text, 4, "ftyp")) return describe_content(bytes).starts_with("a video");
  return has_at(text, 4, "moov") || has_at(text, 4, "mdat") || has_at(text, 4, "wide");
}

std::string_view describe_content(std::span<const std::byte> bytes) {
  switch (image_kind(bytes)) {
    case ImageKind::kJpeg:
      return "a JPEG";
    case ImageKind::kPng:
      return "a PNG";
    case ImageKind::kWebp:
      return "a WebP";
    case ImageKind::kOther:
      break;
  }
  if (bytes.empty()) return "an empty file";
  const std::string_view text = text_of(bytes);
  for (const Magic& magic : kMagics)
    if (has_at(text, magic.offset, magic.mark)) return magic.name;
  const std::string_view head = text.substr(0, 256);
  if (!looks_like_text(head)) return "unknown bytes";
  if (head.find("<svg") != head.npos) return "an SVG";
  if (head.find("<html") != head.npos || head.find("<!DOCTYPE html") != head.npos)
    return "an HTML page";
  return "text";
}

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

Result<ImageSize> image_size(std::span<const std::byte> bytes, const ImageOptions& options) {
  auto size = stored_size(bytes, options);
  if (!size.ok() || options.exif_orientation == ExifOrientation::kIgnore) return size;
  return oriented_size(*size, image_orientation(bytes, image_kind(bytes)));
}

Result<Frames> decode_image(std::span<const std::byte> bytes, const ImageOptions& options,
                            Frames recycled) {
  const auto size = stored_size(bytes, options);
  if (!size.ok()) return size.error();
  const ImageKind kind = image_kind(bytes);
  Frames target = detail::sized_frame(*size, std::move(recycled));
  auto frames = kind == ImageKind::kJpeg ? detail::decode_jpeg(bytes, std::move(target))
                : kind == ImageKind::kPng
                    ? detail::decode_png(bytes, std::move(target), options.alpha)
                    : detail::decode_webp(bytes, std::move(target), options.alpha);
  if (frames.ok() && options.exif_orientation == ExifOrientation::kApply)
    apply_orientation(*frames, image_orientation(bytes, kind));
  return frames;
}

}  // namespace retinue::runtime
