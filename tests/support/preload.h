#pragma once

#include <cstdarg>
#include <cstddef>
#include <dlfcn.h>
#include <fcntl.h>
#include <string>
#include <sys/types.h>
#include <unistd.h>

/// What libraries for LD_PRELOAD share.
namespace retinue::test {

/// The function that a library replaces.
template <class F>
F* real(const char* name) {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

/// Empty where the descriptor is not a file.
inline std::string path_of(int fd) {
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  char path[4096];
  const ssize_t size = readlink(link.c_str(), path, sizeof(path));
  return {path, static_cast<std::size_t>(size > 0 ? size : 0)};
}

/// The mode among the arguments of open() behind its flags; 0 where there is none.
inline mode_t mode_of_open(int flags, va_list more) {
  return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

}  // namespace retinue::test
