#pragma once

// Tested through tests/runtime/dataset/source_test.cpp.

#include <string>

namespace retinue::runtime::detail {

/// Refuses a whole file that is no manifest, by its first two lines that are not blank, instead of
/// one failure per line.
///   first, second  lines; an empty second one: there is none
///   name           of the file, "-" for standard input
/// Throws: UsageError for UTF-16, JSON arrays, JSON over several lines or several in one, one object with
///   a list, commas behind objects, Python's dictionaries, CSV and its kind, and lists of paths: says
///   what was found, and the command that converts it.
void check_manifest_shape(const std::string& first, const std::string& second,
                          const std::string& name);

}  // namespace retinue::runtime::detail
