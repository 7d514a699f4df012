#include "runtime/output/atomic_file.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), part_(path_ + ".part") {
  file_ = std::fopen(part_.c_str(), "wb");
  if (file_ == nullptr) fail("cannot be made");
}

AtomicFile::~AtomicFile() {
  if (file_ != nullptr) {
    std::fclose(file_);
    std::remove(part_.c_str());
  }
}

void AtomicFile::fail(const char* what) const {
  throw SystemError(
      fmt::format("[output] {} {}: {}. Make room or mend the disk, then run the same "
                  "command again; finished items are kept.",
                  path_, what, std::strerror(errno)));
}

void AtomicFile::write(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size()) fail("cannot be written");
}

void AtomicFile::commit() {
  if (std::fflush(file_) != 0 || fsync(fileno(file_)) != 0) fail("cannot be written");
  std::fclose(std::exchange(file_, nullptr));
  if (std::rename(part_.c_str(), path_.c_str()) != 0) fail("cannot be renamed");
  sync_folder(std::filesystem::path(path_).parent_path().string());
}

void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Some network filesystems cannot sync a folder; there a rename is durable with its file.
  const bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == EROFS);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!ok)
    throw SystemError(
        fmt::format("[output] {}: cannot be made durable: {}", folder, std::strerror(error)));
}

}  // namespace retinue::runtime
