#include "runtime/dataset/file_kind.h"

#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/git_lfs.h"
#include "parallel/base/utf8.h"
#include "runtime/media/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <span>
#include <string_view>
#include <unistd.h>

namespace retinue::runtime {
namespace {

/// MPEG-TS has no magic number but its packets of 188 bytes, or of 192 on a disc, each of which has
/// 0x47 in one place.
bool is_transport_stream(std::string_view head) {
  const auto marked = [&](std::size_t first, std::size_t packet) {
    return head.size() > first + 2 * packet && head[first] == 0x47 &&
           head[first + packet] == 0x47 && head[first + 2 * packet] == 0x47;
  };
  return marked(0, 188) || marked(4, 192);
}

// Names of the media types at IANA, of Pillow's and FFmpeg's tables, and of cameras. Left out: names
// that are mostly those of other files, such as .raw, .dat, .mod, .pdf, .eps and .ogg.
constexpr std::string_view kImageNames[] = {
    ".jpg",  ".jpeg",  ".jpe",   ".jfif", ".jif",  ".mpo",   ".png", ".apng", ".webp", ".bmp",
    ".dib",  ".tif",   ".tiff",  ".ico",  ".cur",  ".tga",   ".psd", ".psb",  ".xcf",  ".svg",
    ".svgz", ".dds",   ".pcx",   ".exr",  ".hdr",  ".qoi",   ".sgi", ".ppm",  ".pgm",  ".pbm",
    ".pnm",  ".pam",   ".pfm",   ".xbm",  ".xpm",  ".wmf",   ".emf", ".mng",  ".dcm",  ".heic",
    ".heif", ".heics", ".heifs", ".hif",  ".avif", ".avifs", ".jp2", ".j2k",  ".j2c",  ".jpc",
    ".jpf",  ".jpx",   ".jpm",   ".jxl",  ".jxr",  ".wdp",   ".hdp", ".bpg",  ".flif", ".dng",
    ".cr2",  ".cr3",   ".crw",   ".nef",  ".nrw",  ".arw",   ".sr2", ".srf",  ".srw",  ".rw2",
    ".rwl",  ".orf",   ".raf",   ".pef",  ".x3f",  ".3fr",   ".iiq", ".erf",  ".mrw",  ".kdc",
    ".dcr",  ".gpr"};
constexpr std::string_view kVideoNames[] = {
    ".gif",  ".mp4",  ".m4v", ".mov",  ".qt",   ".mkv",   ".webm", ".avi",  ".divx", ".mpg",
    ".mpeg", ".mpe",  ".m1v", ".m2v",  ".m2p",  ".vob",   ".ts",   ".m2t",  ".mts",  ".m2ts",
    ".wmv",  ".asf",  ".flv", ".f4v",  ".ogv",  ".ogm",   ".3gp",  ".3gpp", ".3g2",  ".mxf",
    ".rm",   ".rmvb", ".dv",  ".wtv",  ".nsv",  ".amv",   ".ivf",  ".obu",  ".y4m",  ".h264",
    ".264",  ".h265", ".265", ".hevc", ".mjpg", ".mjpeg", ".mj2",  ".insv", ".lrv"};
/// Names that files of text have, too: TypeScript, headers of ENVI.
constexpr std::string_view kSharedNames[] = {".ts", ".mts", ".hdr"};

bool among(std::span<const std::string_view> names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_text(std::string_view head) {
  const std::string_view found = describe_content(std::as_bytes(std::span(head)));
  return found == "text" || found == "an SVG" || found == "an HTML page";
}

}  // namespace

std::string head_of_file(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "";
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string head(kHeadBytes, '\0');
  const std::int64_t got =
      file < 0 ? -1 : read_at(file, 0, std::as_writable_bytes(std::span(head)));
  const int reason = errno;
  if (file >= 0) ::close(file);
  // A file that this user may not read is known by its name, and fails as an item.
  if (got < 0 && reason != EACCES && reason != ENOENT)
    throw SystemError(fmt::format("[input] {} cannot be read: {}", path, std::strerror(reason)));
  head.resize(static_cast<std::size_t>(std::max<std::int64_t>(got, 0)));
  return head;
}

FileKind kind_of_content(std::string_view head) {
  const auto media = media_kind(std::as_bytes(std::span(head)));
  if (media == MediaKind::kImage) return FileKind::kImage;
  if (head.starts_with("PAR1")) return FileKind::kParquet;
  if (head.size() > 262 && head.substr(257, 5) == "ustar") return FileKind::kTar;
  // After tar: an archive begins with the name of a member, which may look like a video.
  if (media == MediaKind::kVideo || is_transport_stream(head)) return FileKind::kVideo;
  for (const std::string_view magic : {"\x1F\x8B", "\x28\xB5\x2F\xFD", "BZh",
                                       "\xFD"
                                       "7zXZ"})
    if (head.starts_with(magic)) return FileKind::kCompressed;
  if (is_git_lfs_pointer(head)) return FileKind::kGitLfsPointer;
  const auto first = head.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first != std::string::npos && head[first] == '{') return FileKind::kManifest;
  return FileKind::kUnknown;
}

FileKind kind_of_file(const std::string& path) { return kind_of_content(head_of_file(path)); }

std::string extension(const std::string& path) {
  std::string text = std::filesystem::path(path).extension().string();
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string kind_label(const std::string& path) {
  constexpr std::size_t kLongest = 16;  // what is longer is no extension
  const std::string ending = extension(path);
  return ending.size() < 2 || ending.size() > kLongest ? "files without extension" : ending;
}

std::optional<MediaKind> media_kind_of_name(const std::string& path) {
  const std::string ending = extension(path);
  if (among(kImageNames, ending)) return MediaKind::kImage;
  return among(kVideoNames, ending) ? std::optional(MediaKind::kVideo) : std::nullopt;
}

bool is_shared_name(const std::string& path) { return among(kSharedNames, extension(path)); }

std::optional<MediaKind> media_kind_of(const std::string& path, std::string_view head) {
  const FileKind kind = kind_of_content(head);
  if (kind == FileKind::kImage) return MediaKind::kImage;
  if (kind == FileKind::kVideo) return MediaKind::kVideo;
  const bool script = is_shared_name(path) && kind != FileKind::kGitLfsPointer && is_text(head);
  return script ? std::nullopt : media_kind_of_name(path);
}

Item item_of_file(const std::string& path) {
  Item item;
  item.id = id_of_path(path);
  const auto kind = media_kind_of(path, head_of_file(path));
  item.media.push_back({kind.value_or(MediaKind::kImage), {path}, 0.0});
  return item;
}

std::string id_of_path(const std::string& path) {
  std::string id;
  for (std::size_t at = 0; at < path.size();) {
    const Utf8Step character = decode_utf8(path, at);
    if (character.well_formed)
      id.append(path, at, character.bytes);
    else
      for (std::size_t i = 0; i < character.bytes; ++i)
        id += fmt::format("\\x{:02x}", static_cast<unsigned char>(path[at + i]));
    at += character.bytes;
  }
  return id;
}

}  // namespace retinue::runtime
