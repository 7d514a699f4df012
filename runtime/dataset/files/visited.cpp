#include "runtime/dataset/files/visited.h"

#include <sys/stat.h>

namespace retinue::runtime {

bool Visited::add(const std::string& path) {
  struct stat facts {};
  return ::stat(path.c_str(), &facts) != 0 || seen_.emplace(facts.st_dev, facts.st_ino).second;
}

}  // namespace retinue::runtime
