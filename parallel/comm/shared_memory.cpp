#include "parallel/comm/shared_memory.h"

#include <fmt/format.h>

#include <sys/statvfs.h>

namespace retinue {

std::string shared_memory_state() {
  constexpr const char* kPath = "/dev/shm";
  constexpr double kMebibyte = 1 << 20;
  struct statvfs about {};
  if (::statvfs(kPath, &about) != 0)
    return fmt::format("{} cannot be looked at. {}", kPath, kSharedMemoryAdvice);
  const auto mebibytes = [&](auto blocks) {
    return static_cast<double>(blocks) * static_cast<double>(about.f_frsize) / kMebibyte;
  };
  return fmt::format("{} has {:.1f} MiB free of {:.1f} MiB. {}", kPath, mebibytes(about.f_bavail),
                     mebibytes(about.f_blocks), kSharedMemoryAdvice);
}

}  // namespace retinue
