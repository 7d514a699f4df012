#include "runtime/media/content.h"

#include <algorithm>
#include <array>

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

/// The first bytes of formats that are recognized but not read as images.
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

bool is_video(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  if (has_at(text, 0, "GIF8") || has_at(text, 0, "\x1A\x45\xDF\xA3")) return true;
  if (has_at(text, 0, "RIFF")) return has_at(text, 8, "AVI ");
  // Images, too, come in the container of mp4; older videos lack its first box.
  if (has_at(text, 4, "ftyp")) return describe_content(bytes).starts_with("a video");
  return has_at(text, 4, "moov") || has_at(text, 4, "mdat") || has_at(text, 4, "wide");
}

}  // namespace

ImageKind image_kind(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  if (has_at(text, 0, "\xFF\xD8\xFF")) return ImageKind::kJpeg;
  if (has_at(text, 0, "\x89PNG\r\n\x1A\n")) return ImageKind::kPng;
  if (has_at(text, 0, "RIFF") && has_at(text, 8, "WEBP")) return ImageKind::kWebp;
  return ImageKind::kOther;
}

std::optional<MediaKind> media_kind(std::span<const std::byte> bytes) {
  if (image_kind(bytes) != ImageKind::kOther) return MediaKind::kImage;
  return is_video(bytes) ? std::optional(MediaKind::kVideo) : std::nullopt;
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

}  // namespace retinue::runtime
