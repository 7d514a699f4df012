#include "runtime/media/exif.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kExifPrefix = "Exif\0\0"sv;
constexpr std::string_view kXmpPrefix = "http://ns.adobe.com/xap/1.0/\0"sv;

/// Reads integers of foreign bytes, with bounds checks.
class Bytes {
 public:
  Bytes(std::string_view text, bool big_endian) : text_(text), big_endian_(big_endian) {}

  [[nodiscard]] bool has(std::uint64_t offset, std::uint64_t size) const {
    return offset <= text_.size() && size <= text_.size() - offset;
  }
  /// 0 past the end.
  [[nodiscard]] std::uint32_t uint(std::uint64_t offset, unsigned size) const {
    if (!has(offset, size)) return 0;
    std::uint32_t value = 0;
    for (unsigned i = 0; i < size; ++i) {
      const std::uint64_t at = offset + (big_endian_ ? i : size - 1 - i);
      value = value << 8 | static_cast<unsigned char>(text_[at]);
    }
    return value;
  }

 private:
  std::string_view text_;
  bool big_endian_;
};

/// The blocks of a file that may hold its orientation, not parsed yet.
struct Metadata {
  std::string exif;
  std::string_view xmp;
};

int tiff_orientation(std::string_view tiff) {
  while (tiff.starts_with(kExifPrefix)) tiff.remove_prefix(kExifPrefix.size());
  const bool big_endian = tiff.starts_with("MM"sv);
  if (!big_endian && !tiff.starts_with("II"sv)) return 0;
  const Bytes bytes(tiff, big_endian);
  const std::uint32_t directory = bytes.uint(4, 4);
  if (bytes.uint(2, 2) != 42 || directory < 8) return 0;
  int orientation = 0;
  const std::uint32_t entries = bytes.uint(directory, 2);
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::uint64_t entry = std::uint64_t{directory} + 2 + std::uint64_t{i} * 12;
    if (!bytes.has(entry, 12)) break;
    if (bytes.uint(entry, 2) != 0x0112) continue;
    const std::uint32_t type = bytes.uint(entry + 2, 2);
    const std::uint32_t count = bytes.uint(entry + 4, 4);
    const bool is_short = type == 3 || type == 8;
    const bool is_long = type == 4 || type == 9;
    if (count == 0 || (!is_short && !is_long)) continue;
    const unsigned size = is_short ? 2 : 4;
    const std::uint64_t size_bytes = std::uint64_t{count} * size;
    const std::uint64_t value = size_bytes <= 4 ? entry + 8 : bytes.uint(entry + 8, 4);
    if (!bytes.has(value, size_bytes)) continue;
    const std::uint32_t stored = bytes.uint(value, size);
    orientation = stored >= 1 && stored <= 8 ? static_cast<int>(stored) : 1;
  }
  return orientation;
}

/// tiff:Orientation="6" or <tiff:Orientation>6<
int xmp_orientation(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (std::size_t at = xmp.find(kName); at != xmp.npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with(">"))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') return rest.front() - '0';
  }
  return 0;
}

Metadata jpeg_metadata(std::string_view file) {
  Metadata found;
  const Bytes bytes(file, true);
  std::size_t i = 2;
  while (bytes.has(i, 4)) {
    const std::uint32_t marker = bytes.uint(i, 2);
    if (marker < 0xFF02 || marker == 0xFFFF || (marker >= 0xFFD0 && marker <= 0xFFD8)) {
      i += marker > 0xFF00 && marker != 0xFFFF ? 2 : 1;
      continue;
    }
    if (marker == 0xFFD9 || marker == 0xFFDA) break;
    const std::size_t length = bytes.uint(i + 2, 2);
    if (length < 2 || !bytes.has(i + 2, length)) break;
    const std::string_view segment = file.substr(i + 4, length - 2);
    if (marker == 0xFFE1 && segment.starts_with(kExifPrefix)) {
      // A block larger than a segment continues in the next one.
      found.exif += found.exif.empty() ? segment : segment.substr(kExifPrefix.size());
    } else if (marker == 0xFFE1 && segment.starts_with(kXmpPrefix)) {
      found.xmp = segment.substr(kXmpPrefix.size());
    }
    i += 2 + length;
  }
  return found;
}

/// ImageMagick's text form: a line break, a name, a length, then hexadecimal digits in lines.
std::string raw_profile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const std::size_t end = text.find('\n');
    if (end == text.npos) return {};
    text.remove_prefix(end + 1);
  }
  std::string bytes;
  int high = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) continue;
    if (high >= 0) bytes += static_cast<char>(high * 16 + digit);
    high = high >= 0 ? -1 : digit;
  }
  return bytes;
}

Metadata png_metadata(std::string_view file) {
  Metadata found;
  std::string raw;
  const Bytes bytes(file, true);
  for (std::uint64_t i = 8; bytes.has(i, 8);) {
    const std::uint64_t length = bytes.uint(i, 4);
    const std::string_view name = file.substr(i + 4, 4);
    if (name == "IEND" || !bytes.has(i + 8, length)) break;
    const std::string_view chunk = file.substr(i + 8, length);
    if (name == "eXIf") found.exif = chunk;
    if (name == "tEXt" && chunk.starts_with("Raw profile type exif\0"sv))
      raw = raw_profile(chunk.substr(22));
    // Keyword, 0, compressed or not, method, language, 0, translated keyword, 0, text.
    if (name == "iTXt" && chunk.starts_with("XML:com.adobe.xmp\0\0"sv))
      found.xmp = chunk.substr(19);
    i += 12 + length;
  }
  if (found.exif.empty()) found.exif = std::move(raw);
  return found;
}

Metadata webp_metadata(std::string_view file) {
  Metadata found;
  const Bytes bytes(file, false);
  if (file.size() < 16 || file.substr(12, 4) != "VP8X")
    return found;  // the simple formats have no chunks
  for (std::uint64_t i = 12; bytes.has(i, 8);) {
    const std::uint64_t length = bytes.uint(i + 4, 4);
    const std::string_view name = file.substr(i, 4);
    if (!bytes.has(i + 8, length)) break;
    const std::string_view chunk = file.substr(i + 8, length);
    if (name == "EXIF" && found.exif.empty()) found.exif = chunk;
    if (name == "XMP " && found.xmp.empty()) found.xmp = chunk;
    i += 8 + length + (length & 1);
  }
  return found;
}

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) {
  return tiff_orientation({reinterpret_cast<const char*>(tiff.data()), tiff.size()});
}

int image_orientation(std::span<const std::byte> file, ImageKind kind) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  Metadata found;
  if (kind == ImageKind::kJpeg) found = jpeg_metadata(text);
  if (kind == ImageKind::kPng) found = png_metadata(text);
  if (kind == ImageKind::kWebp) found = webp_metadata(text);
  int orientation = tiff_orientation(found.exif);
  if (orientation == 0) orientation = xmp_orientation(found.xmp);
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

ImageSize oriented_size(ImageSize stored, int orientation) {
  if (orientation >= 5) std::swap(stored.height, stored.width);
  return stored;
}

void apply_orientation(Frames& frames, int orientation) {
  check(orientation >= 1 && orientation <= 8, "an orientation is 1 to 8");
  if (orientation == 1) return;
  const ImageSize from{.height = frames.height, .width = frames.width};
  const ImageSize to = oriented_size(from, orientation);
  // The source position of pixel (0, 0), and the source distance of one step down or right.
  const bool swapped = orientation >= 5;
  const bool from_bottom =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool from_right =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const std::int64_t row = from_bottom ? -from.width : from.width;
  const std::int64_t column = from_right ? -1 : 1;
  const std::int64_t origin =
      (from_bottom ? (from.height - 1) * from.width : 0) + (from_right ? from.width - 1 : 0);
  const std::int64_t down = swapped ? column : row;
  const std::int64_t right = swapped ? row : column;

  std::vector<std::uint8_t> out(frames.pixels.size());
  constexpr std::int64_t kTile = 64;  // keeps the source's cache lines while a column is read
  for (std::int64_t f = 0; f < frames.frames; ++f) {
    const std::uint8_t* source = frames.pixels.data() + (f * from.pixels() + origin) * 3;
    std::uint8_t* target = out.data() + f * to.pixels() * 3;
    for (std::int64_t y0 = 0; y0 < to.height; y0 += kTile) {
      for (std::int64_t x0 = 0; x0 < to.width; x0 += kTile) {
        for (std::int64_t y = y0; y < std::min(y0 + kTile, to.height); ++y) {
          for (std::int64_t x = x0; x < std::min(x0 + kTile, to.width); ++x) {
            const std::uint8_t* pixel = source + (y * down + x * right) * 3;
            std::copy_n(pixel, 3, target + (y * to.width + x) * 3);
          }
        }
      }
    }
  }
  frames.pixels = std::move(out);
  frames.height = to.height;
  frames.width = to.width;
}

}  // namespace retinue::runtime
