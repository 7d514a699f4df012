#include "runtime/jobs/host_memory.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <unistd.h>

namespace retinue::runtime {

std::int64_t memory_per_rank(int local_ranks) {
  std::int64_t bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
                       static_cast<std::int64_t>(sysconf(_SC_PAGE_SIZE));
  // Version 2 and 1; "max" and the huge number that stands for no limit change nothing.
  for (const char* path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream file(path);
    std::int64_t limit = 0;
    if (file >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes / 10 * 9 / std::max(1, local_ranks);
}

}  // namespace retinue::runtime
