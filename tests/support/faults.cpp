// A library for LD_PRELOAD that makes a disk full and files deadly, so that the product needs no
// hook for its own tests. It reads from the environment:
//   FAULTS_FOLDER      the folder of a simulated disk
//   FAULTS_FULL_AFTER  the disk is full from this call of write or fsync on, counted per process
//   FAULTS_FILES       a file whose name begins with "forbidden" cannot be read; one that begins
//                      with "vanished" does not exist
//   FAULTS_POISON_JPEG a JPEG file that ends with "poison-abort", "poison-segv" or "poison-exit"
//                      does that to the process that decodes it
//   FAULTS_POISON      a file whose name begins with "poison" kills the process that opens it, on
//                      the opening thread; "poison-later": soon, from another thread, while the
//                      opening thread waits
//   FAULTS_WEIGHTS     RANK:READ:kill or RANK:READ:cut: at this rank's READ-th read of a
//                      *.safetensors file, counted from 1, the rank is killed, or the file is
//                      truncated at that place
#include "tests/support/preload.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace retinue::test;

bool is_on_the_disk(int fd) {
  static const char* const folder = std::getenv("FAULTS_FOLDER");
  return folder != nullptr && path_of(fd).starts_with(folder);
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

/// The error with which this file cannot be opened; 0: it can.
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

void look_for_poisoned_jpeg(const unsigned char* bytes, unsigned long size) {
  static const bool wanted = std::getenv("FAULTS_POISON_JPEG") != nullptr;
  if (!wanted) return;
  const std::string_view file(reinterpret_cast<const char*>(bytes), size);
  if (file.ends_with("poison-abort")) std::abort();
  if (file.ends_with("poison-segv")) raise(SIGSEGV);
  if (file.ends_with("poison-exit")) _exit(9);
}

/// The fault of this rank's reads of weights.
struct WeightsFault {
  long read = 0;  ///< the number of the faulty read; 0: none
  bool kill = false;
};

WeightsFault weights_fault() {
  const char* text = std::getenv("FAULTS_WEIGHTS");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (text == nullptr || rank == nullptr) return {};
  char* end = nullptr;
  if (std::strtol(text, &end, 10) != std::atol(rank)) return {};
  const long read = std::strtol(end + 1, &end, 10);
  return {read, std::strcmp(end, ":kill") == 0};
}

void look_for_weights(int fd, off_t at) {
  static const WeightsFault fault = weights_fault();
  static std::atomic<long> reads{0};
  if (fault.read == 0) return;
  const std::string path = path_of(fd);
  if (!path.ends_with(".safetensors") || reads.fetch_add(1) + 1 != fault.read) return;
  if (fault.kill) raise(SIGKILL);
  if (truncate(path.c_str(), at) != 0) std::abort();
}

}  // namespace

extern "C" {

ssize_t pread(int fd, void* bytes, size_t size, off_t at) {
  static auto* const next = real<ssize_t(int, void*, size_t, off_t)>("pread");
  look_for_weights(fd, at);
  return next(fd, bytes, size, at);
}

int tjDecompress2(void* handle, const unsigned char* bytes, unsigned long size,
                  unsigned char* pixels, int width, int pitch, int height, int format, int flags) {
  using Decompress =
      int(void*, const unsigned char*, unsigned long, unsigned char*, int, int, int, int, int);
  static auto* const next = real<Decompress>("tjDecompress2");
  look_for_poisoned_jpeg(bytes, size);
  return next(handle, bytes, size, pixels, width, pitch, height, format, flags);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  static auto* const next = real<ssize_t(int, const void*, size_t)>("write");
  if (is_on_the_disk(fd)) {
    const long left = left_of_the_disk();
    if (left < 0) {
      errno = ENOSPC;
      return -1;
    }
    // A full disk usually takes part of the last write.
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
  va_list more;
  va_start(more, flags);
  const mode_t mode = mode_of_open(flags, more);
  va_end(more);
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
