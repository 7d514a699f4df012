#include "runtime/media/image_codecs.h"

#include <fmt/format.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime::detail {
namespace {

DataError error(std::string message) { return {.stage = "image", .message = std::move(message)}; }

const std::uint8_t* data_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

struct Delete {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};

DataError incomplete() {
  return error("WebP: damaged, or the file ends before the image does. Copy it again.");
}

/// The canvas with its first frame; the canvas around the frame is transparent black.
Result<Frames> decode_animated(std::span<const std::byte> bytes, Frames frames, Alpha alpha) {
  WebPAnimDecoderOptions options;
  if (WebPAnimDecoderOptionsInit(&options) == 0)
    throw SystemError("[image] libwebpdemux is of another version than it was built with");
  options.color_mode = MODE_RGBA;
  const WebPData data{.bytes = data_of(bytes), .size = bytes.size()};
  const std::unique_ptr<WebPAnimDecoder, Delete> decoder(WebPAnimDecoderNew(&data, &options));
  std::uint8_t* rgba = nullptr;
  int timestamp_ms = 0;
  if (!decoder || WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp_ms) == 0)
    return incomplete();
  rgba_to_rgb(rgba, frames.pixels.data(), frames.height * frames.width, alpha);
  return frames;
}

}  // namespace

Result<ImageHeader> read_webp_header(std::span<const std::byte> bytes) {
  WebPBitstreamFeatures features;
  switch (WebPGetFeatures(data_of(bytes), bytes.size(), &features)) {
    case VP8_STATUS_OK:
      return ImageHeader{.size = {.height = features.height, .width = features.width}};
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return incomplete();
    default:
      return error("WebP: the header is damaged");
  }
}

Result<Frames> decode_webp(std::span<const std::byte> bytes, Frames frames, Alpha alpha) {
  const ImageSize size{.height = frames.height, .width = frames.width};
  const WebPData data{.bytes = data_of(bytes), .size = bytes.size()};
  // The reference opens every file through the demuxer, which refuses a file that is cut.
  const std::unique_ptr<WebPDemuxer, Delete> demuxer(WebPDemux(&data));
  if (!demuxer) return incomplete();
  const std::uint32_t flags = WebPDemuxGetI(demuxer.get(), WEBP_FF_FORMAT_FLAGS);
  const bool has_alpha = (flags & ALPHA_FLAG) != 0;
  if ((flags & ANIMATION_FLAG) != 0)
    return decode_animated(bytes, std::move(frames), has_alpha ? alpha : Alpha::kDrop);

  if (!has_alpha || alpha == Alpha::kDrop) {
    if (WebPDecodeRGBInto(data.bytes, data.size, frames.pixels.data(), frames.pixels.size(),
                          static_cast<int>(size.width * 3)) == nullptr)
      return incomplete();
    return frames;
  }
  std::vector<std::uint8_t> rgba(static_cast<std::size_t>(size.pixels() * 4));
  if (WebPDecodeRGBAInto(data.bytes, data.size, rgba.data(), rgba.size(),
                         static_cast<int>(size.width * 4)) == nullptr)
    return incomplete();
  rgba_to_rgb(rgba.data(), frames.pixels.data(), size.pixels(), alpha);
  return frames;
}

}  // namespace retinue::runtime::detail
