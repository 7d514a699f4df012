#include "parallel/base/path_error.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

namespace retinue {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& path, std::string_view where, const char* wanted,
                       int error) {
  constexpr std::array kWrongPath = {EACCES, EEXIST,       EINVAL, EISDIR,  ELOOP,
                                     ENOENT, ENAMETOOLONG, EPERM,  ENOTDIR, EROFS};
  const std::string what =
      fmt::format("{} {} cannot be {}: {}", where, path, wanted, std::strerror(error));
  if (std::ranges::find(kWrongPath, error) != kWrongPath.end())
    throw UsageError(what + ". Choose another place, or make this one accessible.");
  throw SystemError(what + ". Make room or mend the disk, then run the same command again.");
}

}  // namespace

void fail_to_make(const std::string& path, std::string_view where, int error) {
  fail(path, where, "made", error);
}

fs::file_type file_type_at(const std::string& path, std::string_view where) {
  std::error_code error;
  const fs::file_type type = fs::status(path, error).type();
  if (type == fs::file_type::none) fail(path, where, "reached", error.value());
  return type;
}

bool exists_at(const std::string& path, std::string_view where) {
  return file_type_at(path, where) != fs::file_type::not_found;
}

std::string file_to_write(const std::string& path, std::string_view where) {
  const fs::file_type type = file_type_at(path, where);
  std::error_code error;
  const bool is_link = fs::is_symlink(fs::symlink_status(path, error));
  const auto refuse = [&](const char* what) {
    throw UsageError(fmt::format("{} {} {}, wanted the name of a file. Choose another place.",
                                 where, path, what));
  };
  if (type == fs::file_type::not_found && is_link) refuse("is a link to nothing");
  if (type == fs::file_type::directory) refuse("is a folder");
  if (type != fs::file_type::not_found && type != fs::file_type::regular)
    refuse("is a device, a pipe or a socket");
  return is_link ? fs::canonical(path).string() : path;
}

}  // namespace retinue
