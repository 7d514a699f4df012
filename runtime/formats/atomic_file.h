#pragma once

#include <string>
#include <string_view>

namespace retinue::runtime {

/// A file that is whole or absent: written under another name, made durable, then renamed.
/// Links are followed: it is their target that is replaced.
class AtomicFile {
 public:
  /// Throws: as file_to_write() and fail_to_make(); SystemError, as the others, when the disk
  /// refuses.
  explicit AtomicFile(const std::string& path);
  /// Removes what was written, unless commit() was called.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::string_view text);
  void commit();

 private:
  void flush();
  [[noreturn]] void fail(const char* what) const;

  std::string path_, part_;
  std::string buffer_;
  int fd_ = -1;
};

/// Writes all of `text`. Returns false, with errno set, when the disk refuses. Async-signal-safe.
bool write_all(int fd, std::string_view text);

/// Makes the entries of a folder durable: new names and renames.   Throws: SystemError.
void sync_folder(const std::string& folder);

}  // namespace retinue::runtime
