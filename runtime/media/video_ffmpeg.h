#pragma once

#include "parallel/base/result.h"
#include "runtime/media/frames.h"
#include "runtime/media/image.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

/// The facts of a video, from its packets and one decoded frame.
struct VideoHeader {
  ImageSize size;               ///< of every frame, upright under ExifOrientation::kApply
  std::vector<double> times_s;  ///< per frame: when it is shown, from the first on; ascending
  std::optional<double> fps;    ///< on average; nothing where neither file nor packets give it
  bool constant_rate = false;   ///< then times_s[k] = k / fps
};

/// Receives one frame, [height, width, 3], RGB, valid during the call.
using TakeFrame = std::function<void(std::span<const std::uint8_t>)>;

/// A video file in memory: mp4, mov, mkv, webm, avi, gif, flv, wmv, ogv, an MPEG transport or program
/// stream, or an animated PNG, with any codec that the libraries have.
/// Opens no other file, even if the video names one. One thread at a time may use a video; threads
/// may use different videos.
class Video {
 public:
  virtual ~Video() = default;
  [[nodiscard]] virtual const VideoHeader& header() const = 0;

  /// Decodes the frames at `indices`, ascending, repeats allowed, and passes them to `take` in that
  /// order. Holds one frame at a time. Skips stretches without a wanted frame from keyframe to
  /// keyframe. A frame that the decoder does not give, without an error, is replaced by the frame
  /// nearest in time, within a second.
  /// Numerics: swscale, accurate rounding, chroma of the nearest sample; matrix and range of the
  ///   stream, BT.601 and limited where it has none. Interlaced frames and pixels that are not
  ///   square stay as stored; alpha is dropped.
  /// Errors: damage in what had to be decoded, with its time; a frame of another size than the
  ///   first.
  virtual std::optional<DataError> decode(std::span<const std::int64_t> indices,
                                          const TakeFrame& take) = 0;
};

/// Reads every packet and decodes the first frame. Frames are counted from packets, as they are
/// decoded later; those at the start that need frames which were cut off do not count. Where packets
/// lack times, all are decoded to count them. Bytes behind the end of a GIF are ignored. Joined
/// streams and files whose times are all equal get times from the rate.
///   bytes     a whole file; must outlive the result
///   options   exif_orientation: whether the rotation that a container holds is applied, in quarter
///             turns; max_pixels of a frame, refused before memory is taken
/// Errors, all of stage "video": a build without the libraries, an unknown container or codec, no
/// video in it, no frames, packets cut short; fewer frames than the header of an AVI says; whatever
/// container.h finds.
Result<std::unique_ptr<Video>> open_video(std::span<const std::byte> bytes,
                                          const ImageOptions& options);

/// "libavformat 59.27.100, …"; empty in a build that reads no video files.
std::string video_libraries();

}  // namespace retinue::runtime
