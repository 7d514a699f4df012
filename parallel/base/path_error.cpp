#include "parallel/base/path_error.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace retinue {

void fail_to_make(const std::string& path, std::string_view where, int error) {
  constexpr std::array kWrongPath = {EACCES, EEXIST,       EINVAL, EISDIR,  ELOOP,
                                     ENOENT, ENAMETOOLONG, EPERM,  ENOTDIR, EROFS};
  const std::string what =
      fmt::format("{} {} cannot be made: {}", where, path, std::strerror(error));
  if (std::ranges::find(kWrongPath, error) != kWrongPath.end())
    throw UsageError(what + ". Choose another place, or make this one writable.");
  throw SystemError(what + ". Make room or mend the disk, then run the same command again.");
}

}  // namespace retinue
