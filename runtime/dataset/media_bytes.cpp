#include "runtime/dataset/media_bytes.h"

#include "parallel/base/git_lfs.h"
#include "parallel/base/hash.h"
#include "runtime/dataset/files/left_by_tools.h"
#include "runtime/dataset/item.h"
#include "runtime/dataset/table/parquet_items.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace retinue::runtime {
namespace {

DataError unreadable(const std::string& name, const char* why) {
  return {"read", fmt::format("{}: {}", name, why)};
}

/// A larger file is no image, and reading it could exhaust the host's memory.
constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 31;

Result<FileBytes> read_file(const MediaFile& from) {
  const std::string& path = from.path;
  // Without O_NONBLOCK, opening a named pipe would wait forever for its writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(fd < 0 ? nullptr : ::fdopen(fd, "rb"),
                                                       &std::fclose);
  if (file == nullptr) return unreadable(from.name(), std::strerror(errno));
  struct stat facts {};
  if (fstat(fd, &facts) != 0) return unreadable(from.name(), std::strerror(errno));
  if (!S_ISREG(facts.st_mode)) return unreadable(from.name(), "is not a file");
  const bool part = from.place != MediaPlace::kWhole;
  if (part && (from.offset < 0 || from.bytes < 0 || from.offset > facts.st_size - from.bytes))
    return unreadable(from.name(), "its file is shorter than it was when it was listed");
  const std::int64_t size_bytes = part ? from.bytes : facts.st_size;
  if (size_bytes > kMaxFileBytes)
    return unreadable(
        from.name(),
        fmt::format("has {} bytes, at most {} are read", size_bytes, kMaxFileBytes).c_str());
  FileBytes bytes(static_cast<std::size_t>(size_bytes));
  std::setvbuf(file.get(), nullptr, _IONBF, 0);
  if (part && fseeko(file.get(), from.offset, SEEK_SET) != 0)
    return unreadable(from.name(), std::strerror(errno));
  const std::size_t read = std::fread(bytes.data(), 1, bytes.size(), file.get());
  if (std::ferror(file.get()) != 0) return unreadable(from.name(), std::strerror(errno));
  if (read != bytes.size()) return unreadable(from.name(), "became shorter while it was read");
  return bytes;
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

Result<FileBytes> decode_base64(std::string_view text) {
  FileBytes bytes;
  bytes.reserve(text.size() / 4 * 3);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=' || c == '\n' || c == '\r') continue;
    const int value = base64_value(c);
    if (value < 0) return DataError{"read", "a data: address with characters outside base64"};
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes.push_back(static_cast<std::byte>((bits >> count) & 0xFFU));
    }
  }
  return bytes;
}

/// data:[type][;base64],text
Result<FileBytes> read_data_address(std::string_view address) {
  const auto comma = address.find(',');
  if (comma == std::string_view::npos || !address.substr(0, comma).ends_with(";base64"))
    return DataError{"read", "a data: address without \";base64,\""};
  return decode_base64(address.substr(comma + 1));
}

/// Reads a file or its part, wherever its bytes lie.
Result<FileBytes> read_any(const MediaFile& file, OpenTables* tables) {
  if (file.place == MediaPlace::kCell) return read_cell(file, tables);
  if (file.path.starts_with("data:")) return read_data_address(file.path);
  auto bytes = read_file(file);
  if (!bytes.ok() || file.place != MediaPlace::kBase64) return bytes;
  return decode_base64({reinterpret_cast<const char*>(bytes->data()), bytes->size()});
}

Result<FileBytes> read_bytes(const MediaFile& file, OpenTables* tables) {
  auto bytes = read_any(file, tables);
  if (bytes.ok() &&
      is_git_lfs_pointer({reinterpret_cast<const char*>(bytes->data()), bytes->size()}))
    return DataError{"read", fmt::format("{}: {}", file.name(), kGitLfsPointer)};
  return bytes;
}

/// The natural order of names with numbers: frame2 before frame10. Bytes decide where it does not.
bool comes_before(const std::string& a, const std::string& b) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto number_at = [&](const std::string& text, std::size_t& at) {
    while (at < text.size() && text[at] == '0') ++at;
    const std::size_t begin = at;
    while (at < text.size() && digit(text[at])) ++at;
    return std::string_view(text).substr(begin, at - begin);
  };
  std::size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const std::string_view left = number_at(a, i), right = number_at(b, j);
      if (left.size() != right.size()) return left.size() < right.size();
      if (left != right) return left < right;
    } else {
      if (a[i] != b[j]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[j]);
      ++i, ++j;
    }
  }
  if (i < a.size() || j < b.size()) return i == a.size();
  return a < b;
}

}  // namespace

Result<MediaReference> expand_frame_folder(MediaReference media, ItemSink* sink) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (media.kind != MediaKind::kVideo || media.files.size() != 1 ||
      !fs::is_directory(media.files[0].path, error))
    return media;
  const auto pass_over = [&](std::string_view what, std::string_view why) {
    if (sink != nullptr) sink->passed_over(what, why);
  };
  const std::string folder = media.files[0].path;
  media.files.clear();
  for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    std::error_code ignored;
    const std::string name = at->path().filename().string();
    const bool is_folder = at->is_directory(ignored);
    if (const auto left = left_by_tools(name, is_folder))
      pass_over(*left, kLeftByTools);
    else if (is_folder)
      pass_over("folders", "are in a folder of frames, whose own files are the frames");
    else  // A pipe or a broken link, too: its frame would be missing silently.
      media.files.emplace_back(at->path().string());
  }
  if (error) return unreadable(folder, error.message().c_str());
  if (media.files.empty()) return unreadable(folder, "holds no frames");
  std::ranges::sort(media.files, comes_before, &MediaFile::path);
  return media;
}

Result<MediaBytes> read_media(const MediaReference& media, OpenTables* tables) {
  std::vector<FileBytes> files;
  for (const MediaFile& file : media.files) {
    auto bytes = read_bytes(file, tables);
    if (!bytes.ok()) return bytes.error();
    files.push_back(std::move(bytes).value());
  }
  return MediaBytes(std::make_shared<const std::vector<FileBytes>>(std::move(files)));
}

std::string sha256_of(std::span<const MediaBytes> media) {
  Sha256 hash;
  for (const MediaBytes& files : media)
    for (const FileBytes& bytes : *files) hash.update(bytes);
  return hash.finish_hex();
}

}  // namespace retinue::runtime
