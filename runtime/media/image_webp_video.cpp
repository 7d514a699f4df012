#include "runtime/media/image_webp_video.h"

#include "runtime/media/container.h"
#include "runtime/media/exif.h"
#include "runtime/media/image_codecs.h"
#include "runtime/media/video.h"

#include <fmt/format.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace retinue::runtime {
namespace {

DataError error(std::string message) { return {.stage = "video", .message = std::move(message)}; }

struct Delete {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};

class WebpVideo final : public Video {
 public:
  WebpVideo(std::span<const std::byte> bytes, const ImageOptions& options)
      : data_{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()},
        options_(options) {
    if (options.exif_orientation == ExifOrientation::kApply)
      orientation_ = image_orientation(bytes, ImageKind::kWebp);
  }

  std::optional<DataError> read() {
    const std::unique_ptr<WebPDemuxer, Delete> demuxer(WebPDemux(&data_));
    if (!demuxer) return error("WebP: damaged, or the file ends within it. Copy it again.");
    stored_ = {.height = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_HEIGHT),
               .width = WebPDemuxGetI(demuxer.get(), WEBP_FF_CANVAS_WIDTH)};
    if (stored_.pixels() > options_.max_pixels)
      return error(fmt::format("the header says frames of {} x {} = {} pixels, the limit is {}",
                               stored_.width, stored_.height, stored_.pixels(),
                               options_.max_pixels));
    header_.size = oriented_size(stored_, orientation_);
    has_alpha_ = (WebPDemuxGetI(demuxer.get(), WEBP_FF_FORMAT_FLAGS) & ALPHA_FLAG) != 0;
    std::vector<int> durations_ms;
    WebPIterator each{};
    for (bool more = WebPDemuxGetFrame(demuxer.get(), 1, &each) != 0; more;
         more = WebPDemuxNextFrame(&each) != 0)
      durations_ms.push_back(each.duration);
    WebPDemuxReleaseIterator(&each);
    if (durations_ms.empty()) return error("WebP: there is no frame in it. The file is damaged.");
    set_times(durations_ms);
    return std::nullopt;
  }

  [[nodiscard]] const VideoHeader& header() const override { return header_; }

  std::optional<DataError> decode(std::span<const std::int64_t> indices,
                                  const TakeFrame& take) override {
    WebPAnimDecoderOptions options;
    if (WebPAnimDecoderOptionsInit(&options) == 0)
      throw SystemError("[video] libwebpdemux is of another version than it was built with");
    options.color_mode = MODE_RGBA;
    const std::unique_ptr<WebPAnimDecoder, Delete> decoder(WebPAnimDecoderNew(&data_, &options));
    std::int64_t shown = -1;
    Frames frame;
    for (const std::int64_t index : indices) {
      for (; shown < index; ++shown) {
        std::uint8_t* rgba = nullptr;
        int end_ms = 0;
        // Every image is drawn over the one before.
        if (!decoder || WebPAnimDecoderGetNext(decoder.get(), &rgba, &end_ms) == 0)
          return error(fmt::format("WebP: damaged in frame {}. Copy it again.", shown + 2));
        if (shown + 1 < index) continue;
        frame = detail::sized_frame(stored_, std::move(frame));
        detail::rgba_to_rgb(rgba, frame.pixels.data(), stored_.pixels(),
                            has_alpha_ ? options_.alpha : Alpha::kDrop);
        apply_orientation(frame, orientation_);
      }
      take(frame.pixels);
    }
    return std::nullopt;
  }

 private:
  void set_times(const std::vector<int>& durations_ms) {
    std::int64_t total_ms = 0;
    for (const int duration_ms : durations_ms) {
      header_.times_s.push_back(static_cast<double>(total_ms) / 1000);
      total_ms += std::max(duration_ms, 0);
    }
    const auto frames = static_cast<double>(durations_ms.size());
    if (total_ms > 0) header_.fps = frames * 1000 / static_cast<double>(total_ms);
    header_.constant_rate =
        total_ms == 0 || std::ranges::all_of(durations_ms, [&](int duration_ms) {
          return duration_ms == durations_ms.front();
        });
    if (!header_.constant_rate) return;
    for (std::size_t i = 0; i < durations_ms.size(); ++i)
      header_.times_s[i] = static_cast<double>(i) / header_.fps.value_or(kAssumedFps);
  }

  WebPData data_;
  ImageOptions options_;
  int orientation_ = 1;
  ImageSize stored_;
  bool has_alpha_ = false;
  VideoHeader header_;
};

}  // namespace

Result<std::unique_ptr<Video>> open_webp_video(std::span<const std::byte> bytes,
                                               const ImageOptions& options) {
  if (auto fault = container_fault(bytes)) return error(*fault);
  auto video = std::make_unique<WebpVideo>(bytes, options);
  if (auto failed = video->read()) return *failed;
  return std::unique_ptr<Video>(std::move(video));
}

}  // namespace retinue::runtime
