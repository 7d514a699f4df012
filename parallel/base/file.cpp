#include "parallel/base/file.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace retinue {
namespace {

[[noreturn]] void fail(const std::string& path, std::string_view where, int error) {
  const std::string what =
      fmt::format("{} {} cannot be read: {}", where, path, std::strerror(error));
  if (error == EACCES || error == EISDIR || error == ELOOP || error == ENAMETOOLONG)
    throw UsageError(what);
  throw SystemError(what + ". Mend the disk, then run the same command again.");
}

}  // namespace

std::optional<std::string> read_file(const std::string& path, std::string_view where) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail(path, where, errno);
  }
  std::string text;
  std::array<char, std::size_t{1} << 16> bytes;
  int error = 0;
  while (true) {
    const ssize_t got = ::read(file, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0) break;
    text.append(bytes.data(), static_cast<std::size_t>(got));
  }
  ::close(file);
  if (error != 0) fail(path, where, error);
  return text;
}

std::int64_t read_at(int file, std::int64_t offset, std::span<std::byte> to) {
  std::int64_t done = 0;
  while (!to.empty()) {
    const ssize_t got = ::pread(file, to.data(), to.size(), static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += got;
    to = to.subspan(static_cast<std::size_t>(got));
  }
  return done;
}

}  // namespace retinue
