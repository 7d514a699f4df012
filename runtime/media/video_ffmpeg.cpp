// One file, because it is the only one that may include the headers of libav*.
#include "runtime/media/video_ffmpeg.h"

#include "runtime/media/container.h"
#include "runtime/media/content.h"
#include "runtime/media/exif.h"
#include "runtime/media/video.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/common.h>
#include <libavutil/imgutils.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

namespace retinue::runtime {
namespace {

/// A frame further from its time than this is missing; a smaller distance is a codec's way of
/// counting.
constexpr double kNearEnough_s = 1.0;
/// Three days at 60 frames per second; the list of packets stays under half a gigabyte.
constexpr std::int64_t kMostFrames = std::int64_t{1} << 24;
/// Names of FFmpeg's demuxers. Playlists and other formats that name further files are left out.
constexpr const char* kContainers =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,flv,asf,ogg,mpegts,mpeg,apng";
/// An AVI of unknown length says that it has this many frames or more.
constexpr std::int64_t kNoCount = std::int64_t{1} << 30;
constexpr int kFewestZeros = 16;  ///< a packet of fewer zeros may be one that repeats a frame
/// So many frames at the end of an AVI may be missing without being noticed: writers miscount.
constexpr std::int64_t kFramesOff = 2;

DataError error(std::string message) { return {.stage = "video", .message = std::move(message)}; }

std::string reason(int code) {
  std::array<char, AV_ERROR_MAX_STRING_SIZE> text{};
  av_strerror(code, text.data(), text.size());
  return text.data();
}

template <auto kFree>
struct FreeByAddress {
  template <class T>
  void operator()(T* object) const {
    kFree(&object);
  }
};
struct FreeScaler {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
struct FreeIo {
  void operator()(AVIOContext* io) const {
    av_freep(&io->buffer);
    avio_context_free(&io);
  }
};
using Format = std::unique_ptr<AVFormatContext, FreeByAddress<avformat_close_input>>;
using Decoder = std::unique_ptr<AVCodecContext, FreeByAddress<avcodec_free_context>>;
using Packet = std::unique_ptr<AVPacket, FreeByAddress<av_packet_free>>;
using Image = std::unique_ptr<AVFrame, FreeByAddress<av_frame_free>>;
using Scaler = std::unique_ptr<SwsContext, FreeScaler>;
using Io = std::unique_ptr<AVIOContext, FreeIo>;

template <class T>
T* allocated(T* object) {
  if (object == nullptr) throw std::bad_alloc();
  return object;
}

/// Replaces the libraries' log, which would go to stderr. An error of a demuxer is kept for its
/// video: Matroska's demuxer skips damage and reports it only in the log.
void keep_first_error(void* source, int level, const char* format, std::va_list arguments) {
  if (source == nullptr || (level & 0xFF) > AV_LOG_ERROR) return;
  const AVClass* kind = *static_cast<const AVClass* const*>(source);
  if (kind == nullptr || std::string_view(kind->class_name) != "AVFormatContext") return;
  auto* kept = static_cast<std::string*>(static_cast<AVFormatContext*>(source)->opaque);
  if (kept == nullptr || !kept->empty()) return;
  std::array<char, 256> text{};
  std::vsnprintf(text.data(), text.size(), format, arguments);
  *kept = text.data();
  while (kept->ends_with('\n') || kept->ends_with('.')) kept->pop_back();
}

/// Once per process: the log is the only state that videos share.
void capture_library_log() {
  static const bool done = (av_log_set_callback(keep_first_error), true);
  static_cast<void>(done);
}

// Bytes as a file ---------------------------------------------------------------------------------

struct Bytes {
  std::span<const std::byte> all;
  std::int64_t at = 0;
};

int read_bytes(void* from, std::uint8_t* to, int wanted) {
  auto& bytes = *static_cast<Bytes*>(from);
  const auto left = static_cast<std::int64_t>(bytes.all.size()) - bytes.at;
  const auto count = std::min<std::int64_t>(wanted, left);
  if (count <= 0) return AVERROR_EOF;
  std::memcpy(to, bytes.all.data() + bytes.at, static_cast<std::size_t>(count));
  bytes.at += count;
  return static_cast<int>(count);
}

std::int64_t seek_bytes(void* in, std::int64_t offset, int whence) {
  auto& bytes = *static_cast<Bytes*>(in);
  const auto size = static_cast<std::int64_t>(bytes.all.size());
  if (whence == AVSEEK_SIZE) return size;
  const int from = whence & ~AVSEEK_FORCE;
  const std::int64_t base = from == SEEK_SET ? 0 : from == SEEK_CUR ? bytes.at : size;
  if ((from != SEEK_SET && from != SEEK_CUR && from != SEEK_END) || offset < -base ||
      offset > size - base)
    return AVERROR(EINVAL);
  return bytes.at = base + offset;
}

int open_nothing(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

// Streams -----------------------------------------------------------------------------------------

/// The display matrix of a stream as an EXIF orientation, turned to the nearest quarter; 1 without.
int orientation_of(const AVStream& stream) {
  const std::uint8_t* bytes = nullptr;
#if LIBAVFORMAT_VERSION_MAJOR < 59
  int size = 0;
#else
  std::size_t size = 0;
#endif
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(60, 31, 102)
  if (const AVPacketSideData* side =
          av_packet_side_data_get(stream.codecpar->coded_side_data,
                                  stream.codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX)) {
    bytes = side->data;
    size = side->size;
  }
#else
  bytes = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
#endif
  std::array<std::int32_t, 9> matrix{};
  if (bytes == nullptr || static_cast<std::size_t>(size) < sizeof matrix) return 1;
  std::memcpy(matrix.data(), bytes, sizeof matrix);
  // x' = a x + c y, y' = b x + d y, with y pointing down.
  const std::int64_t a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
  if (std::abs(a) + std::abs(d) >= std::abs(b) + std::abs(c))
    return a >= 0 ? (d >= 0 ? 1 : 4) : (d >= 0 ? 2 : 3);
  return b >= 0 ? (c >= 0 ? 5 : 6) : (c >= 0 ? 8 : 7);
}

/// An open file: its demuxer, the stream of video, a decoder.
struct Opened {
  std::unique_ptr<Bytes> bytes;
  std::unique_ptr<std::string> logged;  ///< the demuxer's first error
  Io io;
  Format format;  // closed before its io
  AVStream* stream = nullptr;
  Decoder decoder;
};

std::optional<DataError> find_streams(AVFormatContext& format, std::int64_t max_pixels) {
  std::vector<AVDictionary*> options(format.nb_streams, nullptr);
  for (AVDictionary*& each : options) {
    av_dict_set_int(&each, "max_pixels", max_pixels, 0);
    av_dict_set_int(&each, "threads", 1, 0);
  }
  const int found = avformat_find_stream_info(&format, options.empty() ? nullptr : options.data());
  for (AVDictionary*& each : options) av_dict_free(&each);
  if (found < 0) return error(fmt::format("its streams cannot be read: {}", reason(found)));
  return std::nullopt;
}

Result<Decoder> open_decoder(const AVStream& stream, const ImageOptions& options) {
  const AVCodecParameters& parameters = *stream.codecpar;
  const AVCodec* codec = avcodec_find_decoder(parameters.codec_id);
  if (codec == nullptr)
    return error(fmt::format("FFmpeg's libraries here have no decoder for its codec, {}",
                             avcodec_get_name(parameters.codec_id)));
  Decoder decoder(allocated(avcodec_alloc_context3(codec)));
  if (const int rc = avcodec_parameters_to_context(decoder.get(), &parameters); rc < 0)
    return error(fmt::format("its codec's parameters are damaged: {}", reason(rc)));
  // One thread: videos are decoded in parallel already.
  decoder->thread_count = 1;
  decoder->max_pixels = options.max_pixels;
  decoder->pkt_timebase = stream.time_base;
  if (const int rc = avcodec_open2(decoder.get(), codec, nullptr); rc < 0)
    return error(fmt::format("its {} decoder cannot be opened: {}", codec->name, reason(rc)));
  return decoder;
}

Result<Opened> open_bytes(std::span<const std::byte> all, const ImageOptions& options) {
  capture_library_log();
  constexpr int kBuffer_bytes = 1 << 15;
  Opened opened;
  opened.bytes = std::make_unique<Bytes>(Bytes{all});
  auto* buffer = static_cast<unsigned char*>(allocated(av_malloc(kBuffer_bytes)));
  opened.io.reset(allocated(avio_alloc_context(buffer, kBuffer_bytes, 0, opened.bytes.get(),
                                               read_bytes, nullptr, seek_bytes)));
  opened.logged = std::make_unique<std::string>();
  AVFormatContext* format = allocated(avformat_alloc_context());
  format->opaque = opened.logged.get();
  format->pb = opened.io.get();
  format->flags |= AVFMT_FLAG_CUSTOM_IO;
  format->io_open = open_nothing;
  format->format_whitelist = av_strdup(kContainers);
  // A failing avformat_open_input frees the context.
  if (const int rc = avformat_open_input(&format, nullptr, nullptr, nullptr); rc < 0)
    return error(
        fmt::format("{}, wanted an mp4, mov, mkv, webm, avi, gif, flv, wmv, ogv, ts or mpg: {}",
                    describe_content(all), reason(rc)));
  opened.format.reset(format);
  if (auto failed = find_streams(*format, options.max_pixels)) return *failed;
  const int best = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  // The cover image of a song is a video stream, too.
  if (best < 0 || (format->streams[best]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0)
    return error("there is no video in it, only sound or data. Leave it out.");
  for (unsigned i = 0; i < format->nb_streams; ++i)
    if (static_cast<int>(i) != best) format->streams[i]->discard = AVDISCARD_ALL;
  opened.stream = format->streams[best];
  const AVCodecParameters& parameters = *opened.stream->codecpar;
  const std::int64_t pixels = std::int64_t{parameters.width} * parameters.height;
  if (pixels > options.max_pixels)
    return error(fmt::format("the header says frames of {} x {} = {} pixels, the limit is {}",
                             parameters.width, parameters.height, pixels, options.max_pixels));
  auto decoder = open_decoder(*opened.stream, options);
  if (!decoder.ok()) return decoder.error();
  opened.decoder = std::move(decoder).value();
  return opened;
}

/// Feeds the decoder packets and takes its frames.
///   next     reads a packet; false at the end
///   take     takes a frame; false when no more are wanted
///   returns  0, or the code of the first error of the decoder
template <class Next, class Take>
int run_decoder(AVCodecContext& decoder, AVPacket& packet, AVFrame& frame, const Next& next,
                const Take& take) {
  for (bool more = true; more;) {
    more = next();
    int rc = avcodec_send_packet(&decoder, more ? &packet : nullptr);
    av_packet_unref(&packet);
    if (rc < 0) return rc;
    while ((rc = avcodec_receive_frame(&decoder, &frame)) >= 0) {
      const bool wanted = take();
      av_frame_unref(&frame);
      if (!wanted) return 0;
    }
    if (rc != AVERROR(EAGAIN) && rc != AVERROR_EOF) return rc;
  }
  return 0;
}

bool is_damaged(const AVFrame& frame) {
  return frame.decode_error_flags != 0 || (frame.flags & AV_FRAME_FLAG_CORRUPT) != 0;
}

/// VP8 has packets that only prepare others; all other codecs put those into the packet of a frame.
bool is_shown(const AVPacket& packet, AVCodecID codec) {
  return codec != AV_CODEC_ID_VP8 || packet.size < 1 || (packet.data[0] & 0x10) != 0;
}

// Pixels ------------------------------------------------------------------------------------------

/// Any pixel format to RGB, upright.
class RgbWriter {
 public:
  explicit RgbWriter(int orientation) : orientation_(orientation) {}

  std::optional<DataError> write(const AVFrame& frame, Frames& out) {
    auto format = static_cast<AVPixelFormat>(frame.format);
    if (!fits(frame)) {
      // For 4:2:0 and 4:2:2 of even height the reference's decoders use the scaler's fast path,
      // which takes the nearest chroma sample; other formats are interpolated. The rounding of that
      // path differs between processors; the accurate rounding chosen here does not.
      const bool nearest =
          frame.height % 2 == 0 && (format == AV_PIX_FMT_YUV420P || format == AV_PIX_FMT_YUVJ420P ||
                                    format == AV_PIX_FMT_YUV422P || format == AV_PIX_FMT_YUVJ422P);
      const int flags = (nearest ? SWS_POINT : SWS_BILINEAR) | SWS_ACCURATE_RND | SWS_BITEXACT;
      scaler_.reset(sws_getContext(frame.width, frame.height, format, frame.width, frame.height,
                                   AV_PIX_FMT_RGB24, flags, nullptr, nullptr, nullptr));
      if (scaler_ == nullptr)
        return error(fmt::format("pixels of the format {} cannot be made RGB",
                                 av_get_pix_fmt_name(format) ? av_get_pix_fmt_name(format) : "?"));
      const bool full = frame.color_range == AVCOL_RANGE_JPEG || format == AV_PIX_FMT_YUVJ420P ||
                        format == AV_PIX_FMT_YUVJ422P || format == AV_PIX_FMT_YUVJ444P ||
                        format == AV_PIX_FMT_YUVJ440P || format == AV_PIX_FMT_YUVJ411P;
      // Fails for RGB, which needs no conversion matrix.
      sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(frame.colorspace), full,
                               sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
      // Rows are padded: swscale writes whole vectors.
      rgb_.reset(allocated(av_frame_alloc()));
      rgb_->format = AV_PIX_FMT_RGB24;
      rgb_->width = frame.width;
      rgb_->height = frame.height;
      if (av_frame_get_buffer(rgb_.get(), 0) < 0) throw std::bad_alloc();
      width_ = frame.width, height_ = frame.height, format_ = frame.format;
      space_ = frame.colorspace, range_ = frame.color_range;
    }
    const int rows = sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height,
                               rgb_->data, rgb_->linesize);
    if (rows < 0) return error(fmt::format("pixels cannot be made RGB: {}", reason(rows)));
    out.frames = 1;
    out.height = frame.height;
    out.width = frame.width;
    out.pixels.resize(static_cast<std::size_t>(out.size_bytes()));
    av_image_copy_plane(out.pixels.data(), frame.width * 3, rgb_->data[0], rgb_->linesize[0],
                        frame.width * 3, frame.height);
    apply_orientation(out, orientation_);
    return std::nullopt;
  }

 private:
  [[nodiscard]] bool fits(const AVFrame& frame) const {
    return scaler_ != nullptr && frame.width == width_ && frame.height == height_ &&
           frame.format == format_ && frame.colorspace == space_ && frame.color_range == range_;
  }

  int orientation_;
  Scaler scaler_;
  Image rgb_;
  int width_ = 0, height_ = 0, format_ = 0;
  AVColorSpace space_ = AVCOL_SPC_UNSPECIFIED;
  AVColorRange range_ = AVCOL_RANGE_UNSPECIFIED;
};

// A video -----------------------------------------------------------------------------------------

class FfmpegVideo final : public Video {
 public:
  FfmpegVideo(std::span<const std::byte> bytes, const ImageOptions& options)
      : bytes_(bytes), options_(options) {}

  std::optional<DataError> read() {
    if (auto fault = container_fault(bytes_)) return error(*fault);
    // The demuxer takes what lies behind the end of a GIF for damage.
    const auto end_of_gif = gif_bytes(bytes_);
    bytes_ = bytes_.first(end_of_gif.value_or(bytes_.size()));
    auto opened = open_bytes(bytes_, options_);
    if (!opened.ok()) return opened.error();
    const AVStream& stream = *opened->stream;
    time_base_ = stream.time_base;
    codec_ = stream.codecpar->codec_id;
    if (options_.exif_orientation == ExifOrientation::kApply) orientation_ = orientation_of(stream);
    if (auto failed = list_packets(*opened)) return failed;
    if (codec_ == AV_CODEC_ID_GIF && !end_of_gif)
      return error(
          fmt::format("ends within frame {}. The copy is incomplete; copy it again.", frames_));
    set_times(stream.avg_frame_rate);
    return std::nullopt;
  }

  [[nodiscard]] const VideoHeader& header() const override { return header_; }

  std::optional<DataError> decode(std::span<const std::int64_t> indices,
                                  const TakeFrame& take) override {
    check(std::ranges::is_sorted(indices) &&
              (indices.empty() ||
               (indices.front() >= 0 && indices.back() < std::ssize(header_.times_s))),
          "frames of a video are requested by ascending index");
    std::size_t taken = 0;
    // A file may mark a frame as a keyframe that needs earlier frames. So an error after a skip
    // counts only if it also appears without skipping.
    auto failed = decode_from(indices, take, taken, may_leap());
    if (failed && may_leap()) failed = decode_from(indices, take, taken, false);
    return failed;
  }

 private:
  [[nodiscard]] bool may_leap() const {
    // Each image of a GIF is drawn over the one before, and its packets do not show that.
    return by_time_ && codec_ != AV_CODEC_ID_GIF;
  }

  /// The mark by which a frame is recognised when the decoder gives it.
  [[nodiscard]] std::int64_t mark_of(std::int64_t index) const {
    return by_time_ ? ticks_[static_cast<std::size_t>(index)] : index;
  }

  /// Seconds since the first frame. This order of operations rounds once, as index / rate does, so
  /// both are equal where the fractions are.
  [[nodiscard]] double seconds_of_ticks(std::int64_t ticks) const {
    const double since = static_cast<double>(ticks) - static_cast<double>(ticks_.front());
    return since * time_base_.num / time_base_.den;
  }
  [[nodiscard]] double seconds_of(std::int64_t mark) const {
    if (by_time_) return seconds_of_ticks(mark);
    const auto last = static_cast<std::int64_t>(frames_) - 1;
    return header_.times_s[static_cast<std::size_t>(std::clamp<std::int64_t>(mark, 0, last))];
  }

  /// Reads the next packet of the stream; returns the code of av_read_frame.
  static int read_packet(const Opened& opened, AVPacket& packet) {
    int rc = 0;
    while ((rc = av_read_frame(opened.format.get(), &packet)) >= 0 &&
           packet.stream_index != opened.stream->index)
      av_packet_unref(&packet);
    return rc;
  }

  /// Counts frames from all packets, with their times, and the size from the first frame.
  std::optional<DataError> list_packets(const Opened& opened) {
    const Packet packet(allocated(av_packet_alloc()));
    const Image frame(allocated(av_frame_alloc()));
    int read = 0, rc = 0;
    const auto next = [&] {
      read = read_packet(opened, *packet);
      if (read < 0) return false;
      if (lost_data(opened, *packet)) read = AVERROR_INVALIDDATA;
      if (packets_ >= kMostFrames) read = AVERROR(E2BIG);
      if (read >= 0) list(*packet);
      return read >= 0;
    };
    bool decoded = false;
    std::int64_t first = AV_NOPTS_VALUE;
    const auto take = [&] {
      header_.size = oriented_size({.height = frame->height, .width = frame->width}, orientation_);
      first = frame->best_effort_timestamp;
      decoded = true;
      return false;
    };
    // What precedes the first keyframe of a cut video may fail.
    do rc = run_decoder(*opened.decoder, *packet, *frame, next, take);
    while (rc < 0 && read >= 0 && !any_key_);
    while (rc >= 0 && read >= 0 && next()) av_packet_unref(packet.get());
    if (rc < 0 && read >= 0)
      return error(
          fmt::format("its first frame cannot be decoded: {}. The file is damaged.", reason(rc)));
    if (read == AVERROR(E2BIG))
      return error(fmt::format("more than {} frames. Cut it into parts.", kMostFrames));
    if (auto failed = check_end(opened, read)) return failed;
    if (frames_ == 0) return error("there is no frame in its video");
    if (!decoded)
      return error(fmt::format("none of its {} packets gives a frame. The file is damaged{}.",
                               frames_, any_key_ ? "" : ", or was cut where no keyframe follows"));
    order_frames(first);
    // An AVI has no times of presentation, and a packet per frame.
    const bool counted = is_container(opened, "avi") && first_is_key_;
    return by_time_ || counted ? std::nullopt : count_decoded();
  }

  static bool is_container(const Opened& opened, std::string_view name) {
    return opened.format->iformat->name == name;
  }

  /// Whether the demuxer marks a packet, or its data are gone: no codec but raw video gives zeros.
  static bool lost_data(const Opened& opened, const AVPacket& packet) {
    // In a transport stream the mark only says that numbers do not go on; see container.h.
    if ((packet.flags & AV_PKT_FLAG_CORRUPT) != 0 && !is_container(opened, "mpegts")) return true;
    const AVCodecDescriptor* codec = avcodec_descriptor_get(opened.stream->codecpar->codec_id);
    return packet.size >= kFewestZeros && codec != nullptr &&
           (codec->props & AV_CODEC_PROP_LOSSY) != 0 &&
           std::all_of(packet.data, packet.data + packet.size, [](auto byte) { return byte == 0; });
  }

  /// The errors of a file that ends too early.
  ///   read  what ended the reading of packets
  std::optional<DataError> check_end(const Opened& opened, int read) const {
    const auto damaged = [&](const std::string& why) {
      return error(fmt::format(
          "is damaged or incomplete, {} frames can be reached: {}. Copy it again.", frames_, why));
    };
    if (!opened.logged->empty()) return damaged(*opened.logged);
    if (read != AVERROR_EOF) return damaged(reason(read));
    // An AVI counts its frames, also those that repeat the one before and have no packet.
    const AVStream& stream = *opened.stream;
    if (!is_container(opened, "avi") || stream.nb_frames <= 0 || stream.nb_frames >= kNoCount ||
        stream.duration <= 0 || end_ticks_ == AV_NOPTS_VALUE)
      return std::nullopt;
    if (end_ticks_ + kFramesOff >= stream.duration) return std::nullopt;
    const auto seconds = [&](std::int64_t ticks) {
      return static_cast<double>(ticks) * av_q2d(stream.time_base);
    };
    return damaged(fmt::format("its header says {:.2f} s, {:.2f} s are there",
                               seconds(stream.duration), seconds(end_ticks_)));
  }

  /// Counts the frames of a video whose times do not show which of them the decoder gives: parts
  /// that begin within a group of frames lack some.
  std::optional<DataError> count_decoded() {
    const auto opened = open_bytes(bytes_, options_);
    if (!opened.ok()) return opened.error();
    const Packet packet(allocated(av_packet_alloc()));
    const Image frame(allocated(av_frame_alloc()));
    std::size_t count = 0;
    const auto next = [&] { return read_packet(*opened, *packet) >= 0; };
    const auto take = [&] { return ++count > 0; };
    int rc = 0;
    do rc = run_decoder(*opened->decoder, *packet, *frame, next, take);
    while (rc < 0 && count == 0);
    if (rc < 0)
      return error(
          fmt::format("is damaged after {} frames: {}. Copy it again.", count, reason(rc)));
    if (count != frames_) ticks_.clear();
    frames_ = count;
    return std::nullopt;
  }

  void list(const AVPacket& packet) {
    const bool key = (packet.flags & AV_PKT_FLAG_KEY) != 0;
    if (packets_ == 0) first_is_key_ = key;
    any_key_ = any_key_ || key;
    if (key && packet.pts != AV_NOPTS_VALUE) {
      if (keys_.empty() || keys_.back().pts < packet.pts) keys_.push_back({packet.pts, packets_});
      restarts_ = restarts_ || (packet.pts <= keys_.back().pts && packet.pts < latest_ticks_);
    }
    if (packet.pts != AV_NOPTS_VALUE) latest_ticks_ = std::max(latest_ticks_, packet.pts);
    if (packet.dts != AV_NOPTS_VALUE)
      end_ticks_ = std::max(end_ticks_,
                            av_sat_add64(packet.dts, std::max<std::int64_t>(packet.duration, 0)));
    ++packets_;
    // Frames that an edit list removes are decoded, because others need them, and not shown.
    if ((packet.flags & AV_PKT_FLAG_DISCARD) != 0 || !is_shown(packet, codec_)) return;
    ++frames_;
    if (packet.pts != AV_NOPTS_VALUE) ticks_.push_back(packet.pts);
    if (packet.dts != AV_NOPTS_VALUE) decoding_ticks_.push_back(packet.dts);
    last_ticks_ = std::max<std::int64_t>(packet.duration, 0);
  }

  /// Frames are recognised by their presentation times. Where a file, often an AVI, lacks some or
  /// has them twice, frames are counted, and the times of decoding are used, which differ by a
  /// delay. Joined streams whose times begin again have no times, nor have those whose times are
  /// all equal.
  ///   first  the time of the first frame that can be decoded; the frames before it, which need
  ///          others that were cut off, do not count
  void order_frames(std::int64_t first) {
    std::ranges::sort(ticks_);
    const bool valid = time_base_.num > 0 && time_base_.den > 0 && !restarts_;
    by_time_ =
        valid && ticks_.size() == frames_ && std::ranges::adjacent_find(ticks_) == ticks_.end();
    if (by_time_) {
      if (first != AV_NOPTS_VALUE && first <= ticks_.back())
        ticks_.erase(ticks_.begin(), std::ranges::lower_bound(ticks_, first));
      frames_ = ticks_.size();
      return;
    }
    const bool decoded_in_order = std::ranges::is_sorted(decoding_ticks_);
    ticks_ = std::move(decoding_ticks_);
    if (!valid || !decoded_in_order || ticks_.size() != frames_ || ticks_.front() == ticks_.back())
      ticks_.clear();
  }

  /// Frames that follow the container's rate get times computed from it, free of the container's
  /// rounding to milliseconds; others keep their own times.
  void set_times(AVRational rate) {
    if (rate.num > 0 && rate.den > 0) header_.fps = av_q2d(rate);
    header_.constant_rate = ticks_.empty() || header_.fps.has_value();
    for (const std::int64_t ticks : ticks_) {
      const auto index = static_cast<double>(header_.times_s.size());
      header_.times_s.push_back(seconds_of_ticks(ticks));
      if (header_.fps && std::abs(header_.times_s.back() * *header_.fps - index) > 0.5)
        header_.constant_rate = false;
    }
    if (header_.constant_rate) {
      header_.times_s.resize(frames_);
      for (std::size_t i = 0; i < frames_; ++i)
        header_.times_s[i] = static_cast<double>(i) / header_.fps.value_or(kAssumedFps);
      return;
    }
    // A last frame without a duration ends the video at its own time.
    const auto intervals = static_cast<double>(frames_ - (last_ticks_ > 0 ? 0 : 1));
    const double duration = seconds_of_ticks(av_sat_add64(ticks_.back(), last_ticks_));
    if (duration > 0.0 && intervals > 0.0) header_.fps = intervals / duration;
  }

  /// The packet from which a frame can be decoded: that of the last keyframe at or before it.
  [[nodiscard]] std::int64_t packet_for(std::int64_t mark) const {
    const auto after = std::ranges::upper_bound(keys_, mark, {}, &Key::pts);
    return after == keys_.begin() ? 0 : std::prev(after)->packet;
  }

  /// One pass over the stream, which gives the wanted frames from indices[taken] on.
  class Pass {
   public:
    Pass(const FfmpegVideo& video, const Opened& opened, std::span<const std::int64_t> indices,
         const TakeFrame& take, bool leap)
        : video_(video),
          opened_(opened),
          indices_(indices),
          take_(take),
          leap_(leap),
          writer_(video.orientation_),
          sent_(video.mark_of(0)) {}

    std::optional<DataError> run(std::size_t& taken) {
      taken_ = taken;
      int rc = 0;
      // What precedes the first keyframe of a cut video may fail.
      do
        rc = run_decoder(
            *opened_.decoder, *packet_, *frame_, [&] { return next(); }, [&] { return shown(); });
      while (rc < 0 && !any_key_ && !any_before_);
      if (rc < 0 && !failed_) failed_ = damaged_at(sent_, ": " + reason(rc));
      while (!failed_ && wants_more()) {
        if (!any_before_) return error("no frame of it can be decoded. The file is damaged.");
        stand_in(*before_, before_mark_);
      }
      taken = taken_;
      return failed_;
    }

   private:
    [[nodiscard]] bool wants_more() const { return taken_ < indices_.size(); }
    [[nodiscard]] std::int64_t wanted() const { return video_.mark_of(indices_[taken_]); }
    [[nodiscard]] DataError damaged_at(std::int64_t mark, const std::string& why) const {
      return error(fmt::format("is damaged at {:.2f} s{}. Copy it again, or cut it there.",
                               video_.seconds_of(mark), why));
    }

    /// Reads the next packet that the decoder needs; false at the end.
    bool next() {
      const std::int64_t from = leap_ ? video_.packet_for(wanted()) : 0;
      if (from > at_) avcodec_flush_buffers(opened_.decoder.get());
      while (read_packet(opened_, *packet_) >= 0) {
        if (at_++ >= from) {
          any_key_ = any_key_ || (packet_->flags & AV_PKT_FLAG_KEY) != 0;
          sent_ = video_.by_time_ ? packet_->pts : frames_;
          return true;
        }
        av_packet_unref(packet_.get());
      }
      return false;
    }

    /// Takes a decoded frame; false when no more are wanted.
    bool shown() {
      const std::int64_t mark = video_.by_time_ ? frame_->best_effort_timestamp : frames_++;
      if (mark == AV_NOPTS_VALUE) return true;
      if (is_damaged(*frame_) && any_key_ && mark >= video_.mark_of(0)) {
        failed_ = damaged_at(mark, "");
        return false;
      }
      while (!failed_ && wants_more() && wanted() < mark)
        any_before_ ? stand_in(*before_, before_mark_) : stand_in(*frame_, mark);
      while (!failed_ && wants_more() && wanted() == mark) hand_out(*frame_);
      av_frame_unref(before_.get());
      if (av_frame_ref(before_.get(), frame_.get()) < 0) throw std::bad_alloc();
      before_mark_ = mark, any_before_ = true;
      return !failed_ && wants_more();
    }

    void hand_out(const AVFrame& image) {
      if ((failed_ = writer_.write(image, rgb_))) return;
      const ImageSize &size = video_.header_.size, got{.height = rgb_.height, .width = rgb_.width};
      if (got != size) {
        failed_ = error(fmt::format("at {:.2f} s a frame of {} x {} pixels among others of {} x {}",
                                    video_.seconds_of(wanted()), got.width, got.height, size.width,
                                    size.height));
        return;
      }
      take_(rgb_.pixels);
      ++taken_;
    }

    /// Hands out a neighbour of a frame that the decoder did not give. After a leap the frame may
    /// only be missing because of the leap.
    void stand_in(const AVFrame& image, std::int64_t mark) {
      const double wanted_s = video_.seconds_of(wanted());
      if (leap_ || std::abs(wanted_s - video_.seconds_of(mark)) > kNearEnough_s)
        failed_ =
            error(fmt::format("the frame at {:.2f} s is missing. The file is damaged.", wanted_s));
      else
        hand_out(image);
    }

    const FfmpegVideo& video_;
    const Opened& opened_;
    std::span<const std::int64_t> indices_;
    const TakeFrame& take_;
    bool leap_;
    const Packet packet_{allocated(av_packet_alloc())};
    const Image frame_{allocated(av_frame_alloc())}, before_{allocated(av_frame_alloc())};
    RgbWriter writer_;
    Frames rgb_;
    std::optional<DataError> failed_;
    std::size_t taken_ = 0;
    std::int64_t at_ = 0, frames_ = 0;  ///< packets read, frames decoded
    std::int64_t sent_;                 ///< mark of the packet that was sent last
    std::int64_t before_mark_ = 0;
    bool any_before_ = false, any_key_ = false;
  };

  /// Decodes the wanted frames from indices[taken] on.
  ///   leap  skips from keyframe to keyframe
  std::optional<DataError> decode_from(std::span<const std::int64_t> indices, const TakeFrame& take,
                                       std::size_t& taken, bool leap) const {
    const auto opened = open_bytes(bytes_, options_);
    if (!opened.ok()) return opened.error();
    return Pass(*this, *opened, indices, take, leap).run(taken);
  }

  /// A packet from which decoding can start.
  struct Key {
    std::int64_t pts = 0;
    std::int64_t packet = 0;  ///< counted in the stream
  };

  std::span<const std::byte> bytes_;
  ImageOptions options_;
  VideoHeader header_;
  AVRational time_base_{0, 1};
  AVCodecID codec_ = AV_CODEC_ID_NONE;
  int orientation_ = 1;
  std::int64_t packets_ = 0;
  bool first_is_key_ = true, any_key_ = false;
  bool restarts_ = false;                       ///< a keyframe has the time of one before it
  std::int64_t latest_ticks_ = AV_NOPTS_VALUE;  ///< of all packets so far
  std::int64_t end_ticks_ = AV_NOPTS_VALUE;     ///< the latest end of a packet, as decoded
  std::vector<Key> keys_;                       ///< pts ascending
  std::size_t frames_ = 0;                      ///< shown ones
  std::vector<std::int64_t> ticks_;  ///< per frame, ascending; empty where the file has no times
  std::vector<std::int64_t> decoding_ticks_;
  std::int64_t last_ticks_ = 0;  ///< the last frame's duration
  bool by_time_ = false;         ///< frames are recognised by their ticks; else by their number
};

}  // namespace

Result<std::unique_ptr<Video>> open_video(std::span<const std::byte> bytes,
                                          const ImageOptions& options) {
  if (bytes.empty()) return error("an empty file. The copy is incomplete; copy it again.");
  auto video = std::make_unique<FfmpegVideo>(bytes, options);
  if (auto failed = video->read()) return *failed;
  return std::unique_ptr<Video>(std::move(video));
}

std::string video_libraries() {
  const auto version = [](unsigned number) {
    return fmt::format("{}.{}.{}", AV_VERSION_MAJOR(number), AV_VERSION_MINOR(number),
                       AV_VERSION_MICRO(number));
  };
  return fmt::format("libavformat {}, libavcodec {}, libswscale {}", version(avformat_version()),
                     version(avcodec_version()), version(swscale_version()));
}

}  // namespace retinue::runtime
