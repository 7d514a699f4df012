#pragma once

// Tested through tests/runtime/dataset/source_test.cpp and webdataset_test.cpp.

#include <optional>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// Why such a file is passed over.
inline constexpr std::string_view kLeftByTools = "is left by a system or a tool";

/// Files and folders that systems and tools leave beside the user's own, some of which are images by
/// content: ._x.jpg, .DS_Store, __MACOSX, @eaDir, .ipynb_checkpoints, PaxHeaders.
///   name     of a file or folder, without the folder that it is in
///   returns  what it is counted as; nothing for the user's own
std::optional<std::string> left_by_tools(std::string_view name, bool folder);

/// The same for a path: what the first such folder in it, or its file, is counted as.
std::optional<std::string> left_by_tools_in(std::string_view path);

}  // namespace retinue::runtime
