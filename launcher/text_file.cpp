#include "launcher/text_file.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace retinue::launcher {

std::string read_text_file(const std::string& path, std::string_view where, std::string_view flag) {
  // stdio, because a stream loses the reason of a failure.
  std::string text;
  std::FILE* file = std::fopen(path.c_str(), "rb");
  int error = file == nullptr ? errno : 0;
  if (file != nullptr) {
    std::array<char, 4096> bytes{};
    errno = 0;
    for (std::size_t n = 0; (n = std::fread(bytes.data(), 1, bytes.size(), file)) > 0;)
      text.append(bytes.data(), n);
    if (std::ferror(file) != 0) error = errno;
    std::fclose(file);
  }
  if (error != 0)
    throw UsageError(fmt::format("{} {} cannot be read: {}. Name another file with {}.", where,
                                 path, std::strerror(error), flag));
  return text;
}

}  // namespace retinue::launcher
