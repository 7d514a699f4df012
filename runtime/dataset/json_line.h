#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include "parallel/base/result.h"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace retinue::runtime::detail {

/// Parses JSON of a data set; a discarded value where the text is not JSON. NaN, which Python writes
/// for a missing number, becomes null. Infinity becomes an object, which no key of a number or text
/// takes, so that it costs an item only where it is read.
/// Errors: stage "manifest": more than layers::kMostJsonLevels levels of brackets.
Result<nlohmann::ordered_json> parse_json_line(const std::string& text);

}  // namespace retinue::runtime::detail
