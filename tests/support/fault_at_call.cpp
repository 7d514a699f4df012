// A library for LD_PRELOAD that disturbs one file-system call of a process. It reads from the
// environment:
//   FAULT_FOLDER   calls on files below it count
//   FAULT_CALL     the number of the disturbed call, from 1
//   FAULT_KIND     fail: it has an error: ENOSPC where it writes, EIO where it reads
//                  cut:  it reads or writes half of what was asked for, which POSIX allows
//                  last: it is carried out, and the process is killed
//   FAULT_MARK     a file outside FAULT_FOLDER that is made when the call is reached and disturbed
// Only calls that are made across a library's border are seen: not those inside of libc.
#include "tests/support/preload.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

using namespace retinue::test;

enum class Kind { kNone, kFail, kCut, kLast };

struct Fault {
  std::string folder, mark;
  long call = 0;
  Kind kind = Kind::kNone;
};

const Fault& fault() {
  static const Fault wanted = [] {
    const auto text = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value != nullptr ? value : "");
    };
    const std::string kind = text("FAULT_KIND");
    return Fault{.folder = text("FAULT_FOLDER"),
                 .mark = text("FAULT_MARK"),
                 .call = std::atol(text("FAULT_CALL").c_str()),
                 .kind = kind == "fail"   ? Kind::kFail
                         : kind == "cut"  ? Kind::kCut
                         : kind == "last" ? Kind::kLast
                                          : Kind::kNone};
  }();
  return wanted;
}

bool counts(std::string_view path) {
  return !fault().folder.empty() && path.starts_with(fault().folder);
}

void mark() {
  static auto* const next = real<int(const char*, int, ...)>("open");
  const int fd = next(fault().mark.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
}

/// Counts a call on `path`. What happens to it; kCut only where it `can_be_cut`.
Kind next_call(std::string_view path, bool can_be_cut = false) {
  static std::atomic<long> calls{0};
  if (!counts(path) || calls.fetch_add(1) + 1 != fault().call) return Kind::kNone;
  mark();  // also where it cannot be cut: the caller goes on to the next call
  return fault().kind == Kind::kCut && !can_be_cut ? Kind::kNone : fault().kind;
}

/// Carries out `call` as the fault wants it.
template <class Result, class Call>
Result disturbed(Kind kind, Result failure, int error, Call call) {
  if (kind == Kind::kFail) {
    errno = error;
    return failure;
  }
  const Result result = call();
  if (kind == Kind::kLast) raise(SIGKILL);
  return result;
}

/// As above, for `size` bytes: call(n) transfers n of them.
template <class Call>
ssize_t transfer(int fd, std::size_t size, int error, Call call) {
  if (fault().folder.empty()) return call(size);
  const Kind kind = next_call(path_of(fd), size > 1);
  return disturbed<ssize_t>(kind, -1, error,
                            [&] { return call(kind == Kind::kCut ? size / 2 : size); });
}

}  // namespace

extern "C" {

ssize_t read(int fd, void* bytes, size_t size) {
  static auto* const next = real<ssize_t(int, void*, size_t)>("read");
  return transfer(fd, size, EIO, [&](size_t n) { return next(fd, bytes, n); });
}

ssize_t pread(int fd, void* bytes, size_t size, off_t at) {
  static auto* const next = real<ssize_t(int, void*, size_t, off_t)>("pread");
  return transfer(fd, size, EIO, [&](size_t n) { return next(fd, bytes, n, at); });
}

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const next = real<ssize_t(int, const void*, size_t)>("write");
  return transfer(fd, size, ENOSPC, [&](size_t n) { return next(fd, bytes, n); });
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  static auto* const next = real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  return transfer(fd, size, ENOSPC, [&](size_t n) { return next(fd, bytes, n, at); });
}

ssize_t writev(int fd, const iovec* parts, int count) {
  static auto* const next = real<ssize_t(int, const iovec*, int)>("writev");
  const Kind kind = next_call(path_of(fd), count > 1);
  return disturbed<ssize_t>(kind, -1, ENOSPC,
                            [&] { return next(fd, parts, kind == Kind::kCut ? 1 : count); });
}

int fsync(int fd) {
  static auto* const next = real<int(int)>("fsync");
  return disturbed(next_call(path_of(fd)), -1, EIO, [&] { return next(fd); });
}

int fdatasync(int fd) {
  static auto* const next = real<int(int)>("fdatasync");
  return disturbed(next_call(path_of(fd)), -1, EIO, [&] { return next(fd); });
}

int ftruncate(int fd, off_t size) {
  static auto* const next = real<int(int, off_t)>("ftruncate");
  return disturbed(next_call(path_of(fd)), -1, ENOSPC, [&] { return next(fd, size); });
}

int open(const char* path, int flags, ...) {
  static auto* const next = real<int(const char*, int, ...)>("open");
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_of_open(flags, more);
  va_end(more);
  return disturbed(next_call(path), -1, (flags & O_CREAT) != 0 ? ENOSPC : EIO,
                   [&] { return next(path, flags, mode); });
}

std::FILE* fopen(const char* path, const char* mode) {
  static auto* const next = real<std::FILE*(const char*, const char*)>("fopen");
  return disturbed<std::FILE*>(next_call(path), nullptr, EIO, [&] { return next(path, mode); });
}

std::FILE* fopen64(const char* path, const char* mode) {
  static auto* const next = real<std::FILE*(const char*, const char*)>("fopen64");
  return disturbed<std::FILE*>(next_call(path), nullptr, EIO, [&] { return next(path, mode); });
}

DIR* opendir(const char* path) {
  static auto* const next = real<DIR*(const char*)>("opendir");
  return disturbed<DIR*>(next_call(path), nullptr, EIO, [&] { return next(path); });
}

int mkdir(const char* path, mode_t mode) {
  static auto* const next = real<int(const char*, mode_t)>("mkdir");
  return disturbed(next_call(path), -1, ENOSPC, [&] { return next(path, mode); });
}

int rename(const char* from, const char* to) {
  static auto* const next = real<int(const char*, const char*)>("rename");
  return disturbed(next_call(to), -1, ENOSPC, [&] { return next(from, to); });
}

int unlink(const char* path) {
  static auto* const next = real<int(const char*)>("unlink");
  return disturbed(next_call(path), -1, EIO, [&] { return next(path); });
}

}  // extern "C"
