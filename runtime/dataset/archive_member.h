#pragma once

// Tested through tests/runtime/dataset/webdataset_test.cpp.

#include "parallel/base/result.h"
#include "runtime/formats/tar.h"
#include "runtime/media/media_reference.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace retinue::runtime {

/// An archive that is read in places.
class ArchiveFile {
 public:
  /// Throws: UsageError when it cannot be opened.
  explicit ArchiveFile(const std::string& path);
  ~ArchiveFile();
  ArchiveFile(const ArchiveFile&) = delete;
  ArchiveFile& operator=(const ArchiveFile&) = delete;

  [[nodiscard]] std::int64_t size() const { return size_; }
  /// Fills `to` from `offset` on; returns the number of bytes that it read, fewer at the end.
  /// Throws: SystemError when the disk fails, which is no damage of the archive.
  std::size_t read_at(std::int64_t offset, std::span<std::byte> to) const;

 private:
  std::string path_;
  int fd_ = -1;
  std::int64_t size_ = 0;
};

/// Whether webdataset takes the member for its own: __x__/a.jpg.
bool is_metadata(const std::string& name);

/// Splits a name into key and extension, in lower case; nothing for a name that belongs to no sample.
/// (webdataset: base_plus_ext, and the names that tar_file_iterator skips. That one skips .a.jpg, too;
/// but an image is not passed over for its name.)
std::optional<std::pair<std::string, std::string>> split_name(const std::string& name);

/// Why a member has no bytes to read; empty for a file.
std::string problem_of(const TarMember& member);

/// Image or video, by the name; by the first bytes where the name says nothing or files of text have
/// it, too.
std::optional<MediaKind> kind_of_member(const std::string& extension, const TarMember& member,
                                        const ArchiveFile& file);

/// The bytes of a json or a prompt.   Errors: stage "tar": more than 16 MiB, pointers of Git LFS.
Result<std::string> text_of(const TarMember& member, const ArchiveFile& file);

}  // namespace retinue::runtime
