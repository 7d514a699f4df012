#pragma once

#include <string>
#include <string_view>

namespace retinue::layers {

/// Levels of brackets in a JSON text that is not our own. The parser does not recurse; copies,
/// comparisons and dumps do, and 100,000 levels end the process.
inline constexpr int kMostJsonLevels = 1000;

/// The levels of brackets in `text`, whether it is JSON or not.
int json_levels(std::string_view text);

/// For a file that the caller parses.
///   where  first in messages: "[config] path"
/// Throws: UsageError where the text has more than kMostJsonLevels levels.
void refuse_many_levels(std::string_view text, std::string_view where);

/// Parses a JSON file that a user gives; a discarded value where the text is not JSON, also where a
/// number is too large.
///   Json   nlohmann::json or nlohmann::ordered_json
/// Throws: as refuse_many_levels().
template <class Json>
Json parse_json(std::string_view text, std::string_view where);

/// The same with UsageError where the text is not JSON; it says at which byte.
template <class Json>
Json parse_json_or_refuse(std::string_view text, std::string_view where);

}  // namespace retinue::layers
