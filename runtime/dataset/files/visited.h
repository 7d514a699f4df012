#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include <set>
#include <string>
#include <sys/types.h>
#include <utility>

namespace retinue::runtime {

/// Why what was visited before is passed over.
inline constexpr const char* kVisited = "were read already, by another path or input";

/// The folders, archives, tables and manifests that a job has read. Links, several inputs and other
/// spellings of a path reach the same one, which is read once: with two links in every folder the work
/// would double with every level, and an archive that two patterns match would be answered twice.
class Visited {
 public:
  /// Returns false where it was visited before. A path that does not exist is new: opening it says so.
  bool add(const std::string& path);

 private:
  std::set<std::pair<dev_t, ino_t>> seen_;
};

}  // namespace retinue::runtime
