// A library for LD_PRELOAD that makes a disk full and files deadly, so that the product needs no
// hook for its own tests. It reads from the environment:
//   FAULTS_FOLDER      files below it are on a disk ...
//   FAULTS_FULL_AFTER  ... that is full from this call of write and fsync on, counted per process
//   FAULTS_FILES       a file whose name begins with "forbidden" may not be read; "vanished" is
//   gone FAULTS_POISON      a file whose name begins with "poison" kills the process that opens it:
//                      at once, on the thread that opens; "poison-later": from another thread,
//                      soon, and until then the one that opens gets no further
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace {

template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

bool is_on_the_disk(int fd) {
  static const char* const folder = std::getenv("FAULTS_FOLDER");
  if (folder == nullptr) return false;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  char path[4096];
  const ssize_t size = readlink(link.c_str(), path, sizeof(path) - 1);
  if (size <= 0) return false;
  path[size] = '\0';
  return std::strncmp(path, folder, std::strlen(folder)) == 0;
}

/// Calls that still succeed; negative once the disk is full.
long left_of_the_disk() {
  static const char* const text = std::getenv("FAULTS_FULL_AFTER");
  static std::atomic<long> left{text != nullptr ? std::atol(text) : 1L << 60};
  return left.fetch_sub(1) - 1;
}

void* die_soon(void*) {
  usleep(30'000);
  std::abort();
}

const char* name_in(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash != nullptr ? slash + 1 : path;
}

/// Why this file cannot be opened; 0: it can.
int refusal(const char* path) {
  static const bool wanted = std::getenv("FAULTS_FILES") != nullptr;
  if (!wanted || path == nullptr) return 0;
  if (std::strncmp(name_in(path), "forbidden", 9) == 0) return EACCES;
  return std::strncmp(name_in(path), "vanished", 8) == 0 ? ENOENT : 0;
}

void look_for_poison(const char* path) {
  static const bool wanted = std::getenv("FAULTS_POISON") != nullptr;
  if (!wanted || path == nullptr) return;
  const char* name = name_in(path);
  if (std::strncmp(name, "poison", 6) != 0) return;
  if (std::strncmp(name, "poison-later", 12) == 0) {
    pthread_t thread;
    pthread_create(&thread, nullptr, die_soon, nullptr);
    for (;;) pause();
  } else if (std::strncmp(name, "poison-segv", 11) == 0) {
    raise(SIGSEGV);
  } else {
    std::abort();
  }
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const next = real<ssize_t(int, const void*, size_t)>("write");
  if (is_on_the_disk(fd)) {
    const long left = left_of_the_disk();
    if (left < 0) {
      errno = ENOSPC;
      return -1;
    }
    // The last piece that fits is seldom a whole one.
    if (left == 0 && size > 1) return next(fd, bytes, size / 2);
  }
  return next(fd, bytes, size);
}

int fsync(int fd) {
  static auto* const next = real<int(int)>("fsync");
  if (is_on_the_disk(fd) && left_of_the_disk() < 0) {
    errno = ENOSPC;
    return -1;
  }
  return next(fd);
}

int fdatasync(int fd) {
  static auto* const next = real<int(int)>("fdatasync");
  if (is_on_the_disk(fd) && left_of_the_disk() < 0) {
    errno = ENOSPC;
    return -1;
  }
  return next(fd);
}

int open(const char* path, int flags, ...) {
  static auto* const next = real<int(const char*, int, ...)>("open");
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  look_for_poison(path);
  if (const int why = refusal(path); why != 0) {
    errno = why;
    return -1;
  }
  return next(path, flags, mode);
}

std::FILE* fopen(const char* path, const char* mode) {
  static auto* const next = real<std::FILE*(const char*, const char*)>("fopen");
  look_for_poison(path);
  return next(path, mode);
}

}  // extern "C"
