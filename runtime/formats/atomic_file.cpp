#include "runtime/formats/atomic_file.h"

#include "parallel/base/check.h"
#include "parallel/base/path_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

namespace retinue::runtime {
namespace {
constexpr std::size_t kBufferBytes = std::size_t{1} << 16;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

AtomicFile::AtomicFile(const std::string& path)
    : path_(file_to_write(path, "[output]")), part_(path_ + ".part") {
  fd_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ >= 0) return;
  // The folder was there, and the same command makes it again.
  if (errno == ENOENT) fail("cannot be made");
  fail_to_make(part_, "[output]", errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) {
    ::close(fd_);
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
  buffer_ += text;
  if (buffer_.size() >= kBufferBytes) flush();
}

void AtomicFile::flush() {
  if (!write_all(fd_, buffer_)) fail("cannot be written");
  buffer_.clear();
}

void AtomicFile::commit() {
  flush();
  if (fsync(fd_) != 0 && errno != EINVAL) fail("cannot be written");
  // A network file system may report a failed write only here.
  if (::close(std::exchange(fd_, -1)) != 0 || std::rename(part_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    std::remove(part_.c_str());
    errno = error;
    fail("cannot be written");
  }
  sync_folder(std::filesystem::path(path_).parent_path().string());
}

void sync_folder(const std::string& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // Some network file systems cannot sync a folder. There a rename is durable with its file.
  const bool ok = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL || errno == EROFS);
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!ok)
    throw SystemError(
        fmt::format("[output] {}: cannot be made durable: {}", folder, std::strerror(error)));
}

}  // namespace retinue::runtime
