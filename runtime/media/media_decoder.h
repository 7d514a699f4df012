#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/media/image.h"
#include "runtime/media/media_reference.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <vector>

namespace retinue::runtime {

/// What the headers alone say: enough for a prompt.
struct MediaHeader {
  MediaGrid grid;
  ImageSize size;  ///< of the picture, or of every frame, before resizing
  std::int64_t frames = 1;
};

/// Grid, size and timestamps, decoding nothing but the first frame of a clip. A list of frames has
/// its own rate, or kAssumedFps, and frame i stands at i / rate, as in the reference. Of a file of
/// video MediaReference::fps says how many frames per second are looked at, and the file when they
/// are shown.
/// Errors: as image_size, open_video and patch_grid; frames of different sizes.
Result<MediaHeader> read_header(const MediaReference& media, const std::vector<FileBytes>& files,
                                const VisionProcessorSpec& spec, const ImageOptions& options);

/// Decodes, resizes and cuts.   Errors: as read_header, and what only decoding shows.
Result<layers::Patches> read_patches(const MediaReference& media,
                                     const std::vector<FileBytes>& files,
                                     const VisionProcessorSpec& spec, const ImageOptions& options);

}  // namespace retinue::runtime
