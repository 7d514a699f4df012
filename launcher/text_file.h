#pragma once

#include <string>
#include <string_view>

namespace retinue::launcher {

/// All of a file that an option names. `where` begins the message: "[config]", and `flag` says what
/// to change. Throws: UsageError when it cannot be read.
std::string read_text_file(const std::string& path, std::string_view where, std::string_view flag);

}  // namespace retinue::launcher
