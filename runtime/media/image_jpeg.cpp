#include "runtime/media/image_codecs.h"

#include <fmt/format.h>
#include <turbojpeg.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime::detail {
namespace {

DataError error(std::string message) { return {.stage = "image", .message = std::move(message)}; }

struct Destroy {
  void operator()(void* handle) const { tjDestroy(handle); }
};

struct Target {
  std::uint8_t* pixels;
  ImageSize size;
  int format;
};

/// True where there was neither an error nor a warning.
bool decompress(tjhandle handle, std::span<const std::byte> bytes, const Target& target,
                int flags) {
  // The reference uses the accurate DCT and upsampling, so no fast ones here. The scan limit stops
  // files that are built to take hours.
  return tjDecompress2(handle, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                       target.pixels, static_cast<int>(target.size.width), 0,
                       static_cast<int>(target.size.height), target.format,
                       flags | TJFLAG_LIMITSCANS) == 0;
}

/// Why an image that was decoded with warnings is refused; empty where it is accepted.
///
/// The reference accepts images with damage inside and refuses files that end early. TurboJPEG
/// reports both as warnings and keeps only the text of the first warning; an error after a warning
/// keeps the warning's code, with its own text. So the file is decoded again up to the first
/// warning: if the text is another one now, an error followed.
std::string reason_to_refuse(tjhandle handle, std::span<const std::byte> bytes,
                             const Target& target) {
  const std::string last = tjGetErrorStr2(handle);
  if (tjGetErrorCode(handle) != TJERR_WARNING) return last;
  const std::vector<std::uint8_t> kept(
      target.pixels, target.pixels + target.size.pixels() * tjPixelSize[target.format]);
  decompress(handle, bytes, target, TJFLAG_STOPONWARNING);
  const std::string first = tjGetErrorStr2(handle);
  std::ranges::copy(kept, target.pixels);
  const std::string_view file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool has_end = file.find("\xFF\xD9") != file.npos;
  if (first.find("Premature end of JPEG file") != first.npos || !has_end)
    return "the file ends before the image does. The copy is incomplete; copy it again.";
  return first == last ? "" : last;
}

/// Pillow treats every 4-component file as Adobe's, whose samples are stored as 255 - ink.
void inverted_cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, std::int64_t pixels) {
  for (std::int64_t i = 0; i < pixels; ++i, cmyk += 4, rgb += 3) {
    const int white = cmyk[3];  // 255 - K
    for (int c = 0; c < 3; ++c) {
      const int t = (255 - cmyk[c]) * white + 128;
      rgb[c] = static_cast<std::uint8_t>(white - (((t >> 8) + t) >> 8));
    }
  }
}

}  // namespace

// Reads the frame header (SOF) here, because TurboJPEG's own call refuses legal but rare sampling
// factors that TurboJPEG can decode.
Result<ImageHeader> read_jpeg_header(std::span<const std::byte> bytes) {
  const auto at = [&](std::size_t i) { return std::to_integer<int>(bytes[i]); };
  std::size_t i = 2;
  while (i + 4 <= bytes.size()) {
    if (at(i) != 0xFF) {
      ++i;  // garbage between segments: readers skip to the next marker
      continue;
    }
    const int marker = at(i + 1);
    if (marker == 0xFF) {  // fill byte
      ++i;
      continue;
    }
    if (marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      i += 2;
      continue;
    }
    if (marker == 0xD9 || marker == 0xDA) break;
    const auto length = static_cast<std::size_t>(at(i + 2) << 8 | at(i + 3));
    const bool is_frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame) {
      if (i + 10 > bytes.size() || length < 8) break;
      const ImageHeader header{
          .size = {.height = at(i + 5) << 8 | at(i + 6), .width = at(i + 7) << 8 | at(i + 8)},
          .components = at(i + 9)};
      if (header.size.height == 0 || header.size.width == 0)
        return error(fmt::format("JPEG: the header says {} x {} pixels", header.size.width,
                                 header.size.height));
      if (at(i + 4) != 8)
        return error(fmt::format("JPEG: {} bits per sample; only 8 are read", at(i + 4)));
      if (header.components != 1 && header.components != 3 && header.components != 4)
        return error(
            fmt::format("JPEG: {} components; only 1, 3 and 4 are read", header.components));
      return header;
    }
    i += 2 + length;
  }
  return error(
      "JPEG: no frame header before the end of the header or file. The copy is incomplete; copy it "
      "again.");
}

Result<Frames> decode_jpeg(std::span<const std::byte> bytes, Frames frames, int components) {
  const ImageSize size{.height = frames.height, .width = frames.width};
  const std::unique_ptr<void, Destroy> handle(tjInitDecompress());
  if (!handle)
    throw SystemError(fmt::format("[image] TurboJPEG does not start: {}", tjGetErrorStr2(nullptr)));

  const bool cmyk = components == 4;
  std::vector<std::uint8_t> inks(cmyk ? static_cast<std::size_t>(size.pixels() * 4) : 0);
  const Target target{.pixels = cmyk ? inks.data() : frames.pixels.data(),
                      .size = size,
                      .format = cmyk ? TJPF_CMYK : TJPF_RGB};
  if (!decompress(handle.get(), bytes, target, 0)) {
    const std::string reason = reason_to_refuse(handle.get(), bytes, target);
    if (!reason.empty()) return error("JPEG: " + reason);
  }
  if (cmyk) inverted_cmyk_to_rgb(inks.data(), frames.pixels.data(), size.pixels());
  return frames;
}

}  // namespace retinue::runtime::detail
