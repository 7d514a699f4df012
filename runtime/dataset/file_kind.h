#pragma once

#include "runtime/dataset/item.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace retinue::runtime {

enum class FileKind {
  kImage,
  kVideo,
  kManifest,
  kTar,
  kParquet,
  kCompressed,
  kGitLfsPointer,  ///< to a file of any kind
  kUnknown
};

/// As many first bytes of a file decide its kind.
constexpr std::size_t kHeadBytes = 512;

/// The first kHeadBytes of a file. Opens regular files alone: another one could wait for a writer for
/// ever, and gives no bytes.
std::string head_of_file(const std::string& path);

/// The kind of a file, by its first bytes.
FileKind kind_of_content(std::string_view head);
FileKind kind_of_file(const std::string& path);

/// ".jpg", in lower case; empty without one.
std::string extension(const std::string& path);

/// What a file that is passed over is counted as: its extension, or "files without extension".
std::string kind_label(const std::string& path);

/// Image or video, by the name alone, also of a format that is not read here. The only table of such
/// names: folders and archives ask it.
std::optional<MediaKind> media_kind_of_name(const std::string& path);
/// Whether files of text have the name of this video or image, too: .ts is also TypeScript.
bool is_shared_name(const std::string& path);

/// Image or video, by the first bytes, else by the name; nothing for any other file. A file with a
/// shared name is no video where it begins with text. What has a kind is an item, which fails where it
/// cannot be read: it is not lost silently.
std::optional<MediaKind> media_kind_of(const std::string& path, std::string_view head);

/// The item of a file: a video, or an image. What is neither becomes an image that fails.
Item item_of_file(const std::string& path);

/// `path` as an id. A file's name may hold bytes that are no UTF-8, and every output is UTF-8: such
/// a byte becomes \xHH, so that names which differ in it keep different ids.
std::string id_of_path(const std::string& path);

}  // namespace retinue::runtime
