#include "runtime/dataset/file_kind.h"

#include "parallel/base/utf8.h"
#include "runtime/media/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string_view>

namespace retinue::runtime {
namespace {

std::string first_bytes(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return "";
  std::ifstream file(path, std::ios::binary);
  std::string head(512, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<std::size_t>(file.gcount()));
  return head;
}

/// MPEG-TS has no magic number but its packets of 188 bytes, each of which begins with 0x47. The
/// extension .ts alone is mostly that of TypeScript.
bool is_transport_stream(const std::string& head) {
  return head.size() > 376 && head[0] == 0x47 && head[188] == 0x47 && head[376] == 0x47;
}

constexpr std::string_view kImageNames[] = {
    ".jpg",  ".jpeg", ".png",   ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif", ".jxl",
    ".heif", ".hif",  ".heics", ".jfif", ".mpo", ".rw2", ".orf", ".raf",  ".pef",  ".srw",  ".jp2",
    ".j2k",  ".jpx",  ".jpe",   ".ppm",  ".pgm", ".pbm", ".pnm", ".apng", ".ico",  ".tga",  ".psd",
    ".exr",  ".hdr",  ".dng",   ".cr2",  ".nef", ".arw", ".svg", ".dds",  ".pcx"};
constexpr std::string_view kVideoNames[] = {
    ".mp4", ".mkv",  ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv",  ".flv", ".ogv",
    ".3gp", ".m2ts", ".mts",  ".vob", ".asf", ".f4v", ".mxf", ".rm",   ".divx", ".m2v", ".3g2"};

bool is_video_name(const std::string& path) {
  const std::string ending = extension(path);
  return ending == ".gif" || std::ranges::find(kVideoNames, ending) != std::end(kVideoNames);
}

}  // namespace

FileKind kind_of_file(const std::string& path) {
  const std::string head = first_bytes(path);
  const auto media = media_kind(std::as_bytes(std::span(head)));
  if (media == MediaKind::kImage) return FileKind::kImage;
  if (head.starts_with("PAR1")) return FileKind::kParquet;
  if (head.size() > 262 && head.compare(257, 5, "ustar") == 0) return FileKind::kTar;
  // After tar: an archive begins with the name of a member, which may look like a video.
  if (media == MediaKind::kVideo || is_transport_stream(head)) return FileKind::kVideo;
  for (const std::string_view magic : {"\x1F\x8B", "\x28\xB5\x2F\xFD", "BZh",
                                       "\xFD"
                                       "7zXZ"})
    if (head.starts_with(magic)) return FileKind::kCompressed;
  const auto first = head.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
  if (first != std::string::npos && head[first] == '{') return FileKind::kManifest;
  return FileKind::kUnknown;
}

std::string extension(const std::string& path) {
  std::string text = std::filesystem::path(path).extension().string();
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

bool is_media_name(const std::string& path) {
  return is_video_name(path) ||
         std::ranges::find(kImageNames, extension(path)) != std::end(kImageNames);
}

Item item_of_file(const std::string& path) {
  Item item;
  item.id = id_of_path(path);
  const FileKind kind = kind_of_file(path);
  const bool video = kind == FileKind::kVideo || (kind != FileKind::kImage && is_video_name(path));
  item.media.push_back({video ? MediaKind::kVideo : MediaKind::kImage, {path}, 0.0});
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
