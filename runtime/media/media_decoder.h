#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/media/image.h"
#include "runtime/media/media_reference.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <vector>

namespace retinue::runtime {

/// Facts from the headers of an item's files: enough to build its prompt.
struct MediaHeader {
  MediaGrid grid;
  ImageSize size;  ///< of the image, or of every frame, before resizing
  std::int64_t frames = 1;
};

/// Reads grid, size and timestamps; decodes only the first frame of a video file. For a list of
/// frames MediaReference::fps, or kAssumedFps, is their rate, and frame i is shown at i / rate, as
/// in the reference. For a video file it is the number of frames to sample per second, and the file
/// gives their times.
/// Errors: as open_image, open_video and patch_grid; frames of different sizes; an animation as an
///   image or as a frame of a list.
Result<MediaHeader> read_header(const MediaReference& media, const std::vector<FileBytes>& files,
                                const VisionProcessorSpec& spec, const ImageOptions& options);

/// Decodes, resizes and cuts into patches.   Errors: as read_header; damage in the pixels.
Result<layers::Patches> read_patches(const MediaReference& media,
                                     const std::vector<FileBytes>& files,
                                     const VisionProcessorSpec& spec, const ImageOptions& options);

}  // namespace retinue::runtime
