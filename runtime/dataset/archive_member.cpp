#include "runtime/dataset/archive_member.h"

#include "parallel/base/check.h"
#include "parallel/base/file.h"
#include "parallel/base/git_lfs.h"
#include "runtime/dataset/file_kind.h"
#include "runtime/dataset/files/left_by_tools.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace retinue::runtime {
namespace {

/// A longer json or prompt is refused.
constexpr std::int64_t kLongestText = std::int64_t{16} << 20;

DataError bad(std::string message) { return {"tar", std::move(message)}; }

}  // namespace

ArchiveFile::ArchiveFile(const std::string& path) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat facts {};
  if (fd_ < 0 || fstat(fd_, &facts) != 0)
    throw UsageError(fmt::format("[--input] {}: {}", path, std::strerror(errno)));
  size_ = facts.st_size;
}

ArchiveFile::~ArchiveFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::size_t ArchiveFile::read_at(std::int64_t offset, std::span<std::byte> to) const {
  const std::int64_t got = retinue::read_at(fd_, offset, to);
  if (got < 0)
    throw SystemError(fmt::format("[input] {} cannot be read at byte {}: {}", path_, offset,
                                  std::strerror(errno)));
  return static_cast<std::size_t>(got);
}

bool is_metadata(const std::string& name) {
  const std::string_view first = std::string_view(name).substr(0, name.find('/'));
  return first.size() >= 4 && first.starts_with("__") && first.ends_with("__");
}

std::optional<std::pair<std::string, std::string>> split_name(const std::string& name) {
  if (left_by_tools_in(name)) return std::nullopt;
  const auto slash = name.rfind('/');
  const std::size_t base = slash == std::string::npos ? 0 : slash + 1;
  auto dot = name.find('.', base);
  if (dot == base) dot = media_kind_of_name(name) ? name.rfind('.') : std::string::npos;
  if (dot == std::string::npos || is_metadata(name)) return std::nullopt;
  std::string extension = name.substr(dot + 1);
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return std::pair{name.substr(0, dot), std::move(extension)};
}

std::string problem_of(const TarMember& member) {
  switch (member.kind) {
    case TarKind::kFile:
      return "";
    case TarKind::kHardLink:
    case TarKind::kSymbolicLink:
      return fmt::format("is a link to {}, which is no file of the archive", member.target);
    case TarKind::kSparse:
      return "is a sparse file, which is not served. Pack it again without --sparse";
    case TarKind::kOther:
      break;
  }
  return "is a device, a pipe or a part of a larger file";
}

std::optional<MediaKind> kind_of_member(const std::string& extension, const TarMember& member,
                                        const ArchiveFile& file) {
  // Parts of nearly every sample: their bytes need not be read.
  constexpr std::array<std::string_view, 14> kOthers = {"txt", "json", "cls",   "prompt", "npy",
                                                        "npz", "pyd",  "pth",   "pkl",    "csv",
                                                        "xml", "html", "index", "md"};
  const std::string name = "key." + extension;
  if (std::ranges::find(kOthers, name.substr(name.rfind('.') + 1)) != kOthers.end())
    return std::nullopt;
  const auto by_name = media_kind_of_name(name);
  if (member.kind != TarKind::kFile || (by_name && !is_shared_name(name))) return by_name;
  std::string head(static_cast<std::size_t>(std::min<std::int64_t>(member.bytes, kHeadBytes)),
                   '\0');
  if (file.read_at(member.offset, std::as_writable_bytes(std::span(head))) != head.size())
    return std::nullopt;
  return media_kind_of(name, head);
}

Result<std::string> text_of(const TarMember& member, const ArchiveFile& file) {
  if (member.bytes > kLongestText)
    return bad(fmt::format("{}: {} bytes are too many for a text", member.name, member.bytes));
  std::string text(static_cast<std::size_t>(member.bytes), '\0');
  if (file.read_at(member.offset, std::as_writable_bytes(std::span(text))) != text.size())
    return bad(fmt::format("{}: cannot be read", member.name));
  if (is_git_lfs_pointer(text)) return bad(fmt::format("{}: {}", member.name, kGitLfsPointer));
  return text;
}

}  // namespace retinue::runtime
