#pragma once

#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

class ItemSink;
class OpenTables;

/// The bytes behind one image or video, in the order of MediaReference::files.
using MediaBytes = std::shared_ptr<const std::vector<FileBytes>>;

/// Replaces a video that is a folder by the list of the files in it, in the natural order of their
/// names. All are frames but what systems leave (left_by_tools.h); one that is no image fails when it
/// is read.
///   sink  counts what is passed over; null: it is not counted
/// Errors: a folder that cannot be read or has no frames.
Result<MediaReference> expand_frame_folder(MediaReference media, ItemSink* sink = nullptr);

/// Reads every file of an image or video, or its part of an archive or table; decodes data:
/// addresses (base64).
///   tables  Parquet files that stay open between calls; null: each is opened for this call
/// Errors: stage "read": a file that is missing, cannot be read, is no regular file, has become
///   shorter, or is a pointer of Git LFS.
Result<MediaBytes> read_media(const MediaReference& media, OpenTables* tables = nullptr);

/// SHA-256 of the files' bytes, one after the other; for a single file that of sha256sum.
std::string sha256_of(std::span<const MediaBytes> media);

}  // namespace retinue::runtime
