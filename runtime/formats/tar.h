#pragma once

#include "parallel/base/result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

namespace retinue::runtime {

/// A regular file of an archive, whose bytes are one range of the archive.
struct TarMember {
  std::string name;
  std::int64_t offset = 0;
  std::int64_t bytes = 0;
};

/// Walks the headers of a tar archive: ustar, pax (path, size), GNU (long names, base-256 numbers)
/// and the older format without a magic number. Reads only headers. Skips links, folders and
/// devices.
class TarReader {
 public:
  /// Fills `to` from `offset` on; returns the number of bytes that it read.
  using ReadAt = std::function<std::size_t(std::int64_t offset, std::span<std::byte> to)>;

  TarReader(ReadAt read_at, std::int64_t size) : read_at_(std::move(read_at)), size_(size) {}

  /// The next regular file; nothing after the last one.
  /// Errors: stage "tar", with the offset of the damage: a wrong checksum of a header, a cut member
  ///   or archive, sparse files. After an error the archive cannot be read further.
  Result<std::optional<TarMember>> next();
  /// The name of the member that is cut, after such an error; else empty.
  [[nodiscard]] const std::string& cut_member() const { return cut_member_; }

 private:
  struct Pax {
    std::string path;
    std::optional<std::int64_t> bytes;
    bool sparse = false;
  };
  [[nodiscard]] DataError damage(const std::string& what) const;
  Result<std::string> read_text(std::int64_t bytes, const char* what);
  [[nodiscard]] std::optional<DataError> read_pax(const std::string& text, Pax& pax) const;

  ReadAt read_at_;
  std::int64_t size_;
  std::int64_t at_ = 0;  ///< offset of the next header
  Pax global_;
  std::string cut_member_;
};

}  // namespace retinue::runtime
