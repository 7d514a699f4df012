#include "runtime/jobs/host_memory.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <unistd.h>

namespace retinue::runtime {
namespace {

/// "MemAvailable:   123 kB": memory that the kernel can give without swapping. 0: no such line.
std::int64_t available_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("MemAvailable:")) return std::stoll(line.substr(13)) * 1024;
  return 0;
}

}  // namespace

std::int64_t free_host_memory() {
  std::int64_t bytes = available_bytes();
  if (bytes == 0)
    bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
            static_cast<std::int64_t>(sysconf(_SC_PAGE_SIZE));
  // Version 2 and 1; "max" and the huge number that means no limit change nothing.
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream file(path);
    std::int64_t limit = 0;
    if (file >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

std::int64_t memory_per_rank(int local_ranks) {
  return free_host_memory() / 5 * 4 / std::max(1, local_ranks);
}

}  // namespace retinue::runtime
