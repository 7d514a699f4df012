#pragma once
// Tested through tests/launcher/command_line_test.cpp.

#include <string>
#include <string_view>

namespace retinue::launcher {

/// Reads the file that an option names. In a message `where` comes first, "[config]", and `flag` is
/// the option to change. Throws: UsageError when the file cannot be read.
std::string read_text_file(const std::string& path, std::string_view where, std::string_view flag);

}  // namespace retinue::launcher
