#include "layers/spec/json_text.h"

#include "parallel/base/check.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>

namespace retinue::layers {
int json_levels(std::string_view text) {
  int level = 0, most = 0;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"')
      in_string = !in_string;
    else if (in_string)
      at += c == '\\' ? 1 : 0;  // also an escaped quotation mark
    else if (c == '[' || c == '{')
      most = std::max(most, ++level);
    else if (c == ']' || c == '}')
      --level;
  }
  return most;
}

void refuse_many_levels(std::string_view text, std::string_view where) {
  if (const int levels = json_levels(text); levels > kMostJsonLevels)
    throw UsageError(
        fmt::format("{}: wanted at most {} levels of brackets, got {}. Remove the deep value.",
                    where, kMostJsonLevels, levels));
}

template <class Json>
Json parse_json(std::string_view text, std::string_view where) {
  refuse_many_levels(text, where);
  return Json::parse(text, nullptr, false);
}

template <class Json>
Json parse_json_or_refuse(std::string_view text, std::string_view where) {
  refuse_many_levels(text, where);
  try {
    return Json::parse(text);
  } catch (const typename Json::exception& error) {  // of a number that is too large, too
    throw UsageError(fmt::format("{} is no JSON: {}", where, error.what()));
  }
}

template nlohmann::json parse_json(std::string_view, std::string_view);
template nlohmann::ordered_json parse_json(std::string_view, std::string_view);
template nlohmann::json parse_json_or_refuse(std::string_view, std::string_view);
template nlohmann::ordered_json parse_json_or_refuse(std::string_view, std::string_view);

}  // namespace retinue::layers
