#pragma once

#include "layers/spec/inputs.h"
#include "parallel/base/result.h"
#include "runtime/input/image.h"
#include "runtime/input/processor_spec.h"
#include "runtime/input/prompt.h"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

class OpenTables;

/// The bytes behind one image or video, in the order of MediaReference::files.
using FileBytes = std::vector<std::byte>;
using MediaBytes = std::shared_ptr<const std::vector<FileBytes>>;

/// What the headers alone say: enough for a prompt.
struct MediaHeader {
  MediaGrid grid;
  ImageSize size;  ///< of the picture, or of every frame, before resizing
  std::int64_t frames = 1;
};

/// A video that is named as one folder becomes the list of the pictures in it, by name.
/// Errors: a folder that cannot be read or holds no pictures.
Result<MediaReference> expand_frame_folder(MediaReference media);

/// Reads every file of an item, or its part of an archive or table; data: addresses (base64) are
/// decoded.
///   tables  Parquet files that stay open between calls; null: each is opened again
/// Errors: stage "read": a file that is missing, unreadable, no file, or shorter than it was.
Result<MediaBytes> read_media(const MediaReference& media, OpenTables* tables = nullptr);

/// SHA-256 of the files' bytes, one after the other; of a single file what sha256sum prints.
std::string sha256_of(std::span<const MediaBytes> media);

/// Grid, size and timestamps, decoding nothing but the first frame of a clip. A list of frames has
/// its own rate, or kAssumedFps, and frame i stands at i / rate, as in the reference. Of a file of
/// video MediaReference::fps says how many frames per second are looked at, and the file when they
/// are shown.
/// Errors: as image_size, open_clip and patch_grid; frames of different sizes.
Result<MediaHeader> read_header(const MediaReference& media, const std::vector<FileBytes>& files,
                                const VisionProcessorSpec& spec, const ImageOptions& options);

/// Decodes, resizes and cuts.   Errors: as read_header, and what only decoding shows.
Result<layers::Patches> read_patches(const MediaReference& media,
                                     const std::vector<FileBytes>& files,
                                     const VisionProcessorSpec& spec, const ImageOptions& options);

}  // namespace retinue::runtime
