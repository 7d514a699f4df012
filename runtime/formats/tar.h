#pragma once

#include "parallel/base/result.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace retinue::runtime {

enum class TarKind : std::uint8_t {
  kFile,
  kHardLink,      ///< to a member of an earlier place, by its name
  kSymbolicLink,  ///< to a path from the folder of the link
  kSparse,        ///< a file without its zeros, which no range of the archive is
  kOther          ///< a device, a pipe, a part of a file of another volume
};

/// A member of an archive. The bytes of a file are one range of the archive.
struct TarMember {
  std::string name;
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
  TarKind kind = TarKind::kFile;
  std::string target;        ///< of a link, as the archive has it
  std::int64_t archive = 0;  ///< counts the archives that were joined to one file, from 0
};

/// Walks the headers of a tar archive: ustar, pax (path, linkpath, size), GNU (long names, base-256
/// numbers) and the older format without a magic number. Reads only headers. Skips folders. An end
/// mark may be followed by another archive, as `cat` joins them: that one is read, too, like
/// tar --ignore-zeros reads it. Zeros at the end may have any length.
class TarReader {
 public:
  /// Fills `to` from `offset` on; returns the number of bytes that it read.
  using ReadAt = std::function<std::size_t(std::int64_t offset, std::span<std::byte> to)>;

  TarReader(ReadAt read_at, std::int64_t size) : read_at_(std::move(read_at)), size_(size) {}

  /// The next member; nothing after the last one.
  /// Errors: stage "tar", with the offset of the damage: a wrong checksum of a header, a cut member
  ///   or archive. After an error the archive cannot be read further.
  Result<std::optional<TarMember>> next();
  /// The name of the member that is cut, after such an error; else empty.
  [[nodiscard]] const std::string& cut_member() const { return cut_member_; }
  /// TarMember::archive of what was read last, or is cut.
  [[nodiscard]] std::int64_t archive() const { return archive_; }
  /// The number of bytes behind an end mark that are neither zeros nor an archive. They are not read.
  [[nodiscard]] std::int64_t unread_bytes() const { return unread_bytes_; }

 private:
  using Header = std::array<std::byte, 512>;
  /// What headers before a member say of it.
  struct Extension {
    std::string path, target, sparse_name;
    std::optional<std::int64_t> bytes;
    bool sparse = false;
    std::string long_name, long_target;  ///< GNU's
  };
  [[nodiscard]] DataError damage(const std::string& what) const;
  Result<bool> find_header(Header& header);
  Result<bool> skip_zeros(Header& header);
  Result<std::string> read_text(std::int64_t bytes, const char* what);
  std::optional<DataError> read_extension(char type, std::int64_t bytes, Extension& extension);
  [[nodiscard]] std::optional<DataError> read_pax(const std::string& text, Extension& pax) const;
  Result<std::int64_t> map_bytes(const Header& header);
  Result<std::optional<TarMember>> take_member(const Header& header, std::int64_t bytes,
                                               Extension& extension);

  ReadAt read_at_;
  std::int64_t size_;
  std::int64_t at_ = 0;  ///< offset of the next header
  Extension global_;     ///< from pax headers for all members behind them
  std::int64_t archive_ = 0;
  std::string cut_member_;
  std::int64_t unread_bytes_ = 0;
};

}  // namespace retinue::runtime
