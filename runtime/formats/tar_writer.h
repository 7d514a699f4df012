#pragma once

// Tested through tests/runtime/output/caption_files_test.cpp.

#include "runtime/formats/atomic_file.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// Writes a tar archive of regular files: ustar headers, with a pax header before names that ustar
/// cannot hold.   POSIX.1-2017, pax, "ustar Interchange Format". Times and owners are left out, so
/// that the same files give the same bytes.
class TarWriter {
 public:
  /// Throws: SystemError, as the others, when the disk refuses.
  explicit TarWriter(const std::string& path) : file_(path) {}

  ///   name     relative, with slashes; UTF-8
  ///   content  below 8 GiB, the limit of the header's field; else BugError
  void add(std::string_view name, std::string_view content);
  void commit();

 private:
  void add_entry(std::string_view name, char type, std::string_view content);

  AtomicFile file_;
};

}  // namespace retinue::runtime
