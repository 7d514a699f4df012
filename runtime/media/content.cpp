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
constexpr auto kAsf = "\x30\x26\xB2\x75\x8E\x66\xCF\x11\xA6\xD9\x00\xAA\x00\x62\xCE\x6C"sv;
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
    Magic{0, "FLV\x01"sv, "an FLV"sv},
    Magic{0, kAsf, "a WMV or another ASF file"sv},
    Magic{0, "OggS"sv, "an Ogg file"sv},
    Magic{0, "\0\0\x01\xBA"sv, "an MPEG program stream"sv},
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

/// Ogg holds sound or video; its first pages name the codec of each stream.
bool is_ogg_video(std::string_view text) {
  constexpr std::array kCodecs = {"\x80theora"sv, "\x01video"sv, "OVP80"sv, "BBCD\0"sv};
  return std::ranges::any_of(kCodecs,
                             [&](std::string_view mark) { return text.find(mark) != text.npos; });
}

bool is_video(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  for (const std::string_view mark :
       {"GIF8"sv, "\x1A\x45\xDF\xA3"sv, "FLV\x01"sv, kAsf, "\0\0\x01\xBA"sv})
    if (has_at(text, 0, mark)) return true;
  if (has_at(text, 0, "RIFF")) return has_at(text, 8, "AVI ");
  if (has_at(text, 0, "OggS")) return is_ogg_video(text.substr(0, 512));
  if (transport_layout(bytes)) return true;
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

std::optional<TransportLayout> transport_layout(std::span<const std::byte> bytes) {
  // The extension .ts is that of TypeScript, too.
  if (looks_like_text(text_of(bytes).substr(0, 412))) return std::nullopt;
  constexpr std::array kLayouts = {TransportLayout{188, 0}, TransportLayout{192, 4},
                                   TransportLayout{204, 0}};
  for (const TransportLayout& each : kLayouts) {
    const auto synced = [&](std::size_t packet) {
      const std::size_t at = packet * each.packet_bytes + each.sync;
      return at < bytes.size() && bytes[at] == std::byte{0x47};
    };
    if (synced(0) && synced(1) && synced(2)) return each;
  }
  return std::nullopt;
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
  if (transport_layout(bytes)) return "an MPEG transport stream";
  const std::string_view head = text.substr(0, 256);
  if (!looks_like_text(head)) return "unknown bytes";
  if (head.find("<svg") != head.npos) return "an SVG";
  if (head.find("<html") != head.npos || head.find("<!DOCTYPE html") != head.npos)
    return "an HTML page";
  return "text";
}

}  // namespace retinue::runtime
