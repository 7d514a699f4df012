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

/// What a clip is, known from its packets and one decoded frame.
struct VideoHeader {
  ImageSize size;               ///< of every frame, upright under ExifOrientation::kApply
  std::vector<double> times_s;  ///< per frame: when it is shown, counted from the first; ascending
  std::optional<double> fps;    ///< on average; nothing where neither file nor packets say it
  bool constant_rate = false;   ///< then times_s[k] = k / fps
};

/// Gets one frame, [height, width, 3], RGB, valid for the call.
using TakeFrame = std::function<void(std::span<const std::uint8_t>)>;

/// A clip in memory: mp4, mov, mkv, webm, avi or gif with any codec that the libraries have.
/// Opens no other file, whatever the clip names. Not for two threads at once; clips of different
/// threads know nothing of each other.
class Video {
 public:
  virtual ~Video() = default;
  [[nodiscard]] virtual const VideoHeader& header() const = 0;

  /// Decodes the frames at `indices`, ascending, repeats allowed, and hands them out in that order.
  /// One frame is held at a time. Stretches without a wanted frame are left out from keyframe to
  /// keyframe. A frame that a sound decoder does not give is the one shown nearest to its time,
  /// within a second.
  /// Numerics: swscale, accurate rounding, chroma of the nearest sample; matrix and range as the
  ///   stream says, BT.601 and limited where it says nothing. Interlaced frames and pixels that are
  ///   not square stay as stored; alpha is dropped.
  /// Errors: damage in what had to be decoded, with the time where it shows; a frame of another
  /// size than the first.
  virtual std::optional<DataError> decode(std::span<const std::int64_t> indices,
                                          const TakeFrame& take) = 0;
};

/// Reads every packet, without decoding more than the first frame: counts in a container's header
/// are not trusted, and what is counted is what is decoded later. Keeps `bytes`' address.
///   bytes     a whole file
///   options   exif_orientation: whether the rotation that a container holds is applied, in quarter
///             turns; max_pixels of a frame, refused before memory is taken
/// Errors, all of stage "video": a build without the libraries, an unknown container or codec, no
/// video in it, no frames, packets cut short.
Result<std::unique_ptr<Video>> open_video(std::span<const std::byte> bytes,
                                          const ImageOptions& options);

/// "libavformat 59.27.100, …", or empty in a build that reads no clips.
std::string video_libraries();

}  // namespace retinue::runtime
