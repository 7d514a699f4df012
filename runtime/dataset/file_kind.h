#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "runtime/dataset/item.h"

#include <string>

namespace retinue::runtime {

enum class FileKind { kImage, kVideo, kManifest, kTar, kParquet, kCompressed, kUnknown };

/// The kind of a file, by its first bytes. Opens regular files alone: another one could wait for a
/// writer for ever, and is kUnknown.
FileKind kind_of_file(const std::string& path);

/// ".jpg", in lower case; empty without one.
std::string extension(const std::string& path);
/// Whether the name is that of an image or a video, of a format that is read here or not.
bool is_media_name(const std::string& path);

/// An image or a video by its content. Where the content is neither, and the item will fail, the
/// name decides.
Item item_of_file(const std::string& path);

/// `path` as an id. A file's name may hold bytes that are no UTF-8, and every output is UTF-8: such
/// a byte becomes \xHH, so that names which differ in it keep different ids.
std::string id_of_path(const std::string& path);

}  // namespace retinue::runtime
