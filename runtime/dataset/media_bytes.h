#pragma once

#include "parallel/base/result.h"
#include "runtime/media/media_reference.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace retinue::runtime {

class OpenTables;

/// The bytes behind one image or video, in the order of MediaReference::files.
using MediaBytes = std::shared_ptr<const std::vector<FileBytes>>;

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

}  // namespace retinue::runtime
