#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "parallel/base/result.h"

#include <string>
#include <string_view>

namespace retinue::runtime {

/// The path under which a file that an input names is opened. data: addresses stay as they are.
/// file:// is removed with the host localhost or this machine's name, and %20 becomes a space
/// unless a file has the escaped name. Other paths are relative to `base_dir`.
/// Errors: stage "read": addresses of the network, files of another host, NUL characters, base64
///   without "data:", paths longer than the system opens. Messages show 40 characters of long texts.
Result<std::string> resolve_media_path(const std::string& text, const std::string& base_dir);

}  // namespace retinue::runtime
