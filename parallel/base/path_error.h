#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace retinue {

/// For a file or folder that cannot be made.
///   where  first in messages: "[output]"
///   error  the errno
/// Throws: UsageError where the same path can never be made; SystemError where it can once there is
///         room, or the disk is mended.
[[noreturn]] void fail_to_make(const std::string& path, std::string_view where, int error);

/// What is at `path`, behind all links; not_found where nothing is.
/// Throws: as fail_to_make() where that cannot be known.
std::filesystem::file_type file_type_at(const std::string& path, std::string_view where);

/// Whether something is at `path`, behind all links.   Throws: as file_type_at().
bool exists_at(const std::string& path, std::string_view where);

/// The file to write where `path` is asked for: behind all links, so that a renamed file replaces
/// their target and not the link.
/// Throws: UsageError where something other than a regular file is there, such as a device, and as
///         file_type_at().
std::string file_to_write(const std::string& path, std::string_view where);

}  // namespace retinue
