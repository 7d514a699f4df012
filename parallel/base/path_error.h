#pragma once

#include <string>
#include <string_view>

namespace retinue {

/// For a file or folder that cannot be made.
///   where  first in messages: "[output]"
///   error  the errno
/// Throws: UsageError where the same path can never be made; SystemError where it can once there is
///         room, or the disk is mended.
[[noreturn]] void fail_to_make(const std::string& path, std::string_view where, int error);

}  // namespace retinue
