#include "runtime/dataset/json_line.h"

#include "layers/spec/json_text.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <string_view>
#include <utility>

namespace retinue::runtime::detail {
namespace {

using Json = nlohmann::ordered_json;

/// Calls `visit` with the offset of each character outside strings; it returns how many to skip.
template <class Visit>
void walk(std::string_view text, Visit visit) {
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (in_string) {
      if (text[at] == '\\')
        ++at;  // also an escaped quotation mark
      else if (text[at] == '"')
        in_string = false;
      continue;
    }
    if (text[at] == '"')
      in_string = true;
    else
      at += visit(at);
  }
}

/// The text with Python's names of numbers replaced by JSON.
std::string without_names_of_numbers(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kNames = {
      {{"NaN", "null"},
       {"-Infinity", R"({"number":"-Infinity"})"},
       {"Infinity", R"({"number":"Infinity"})"}}};
  std::string out;
  std::size_t copied = 0;
  walk(text, [&](std::size_t at) -> std::size_t {
    for (const auto& [name, json] : kNames)
      if (text.substr(at).starts_with(name)) {
        out += text.substr(copied, at - copied);
        out += json;
        copied = at + name.size();
        return name.size() - 1;
      }
    return 0;
  });
  out += text.substr(copied);
  return out;
}

}  // namespace

Result<Json> parse_json_line(const std::string& text) {
  // The parser itself does not recurse; accept() builds nothing.
  const int levels = layers::json_levels(text);
  if (levels > layers::kMostJsonLevels)
    return Json::accept(text)
               ? Result<Json>(DataError{
                     "manifest", fmt::format("wanted at most {} levels of brackets, got {}. Remove "
                                             "the deep value.",
                                             layers::kMostJsonLevels, levels)})
               : Result<Json>(Json(Json::value_t::discarded));
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) json = Json::parse(without_names_of_numbers(text), nullptr, false);
  return json;
}

}  // namespace retinue::runtime::detail
