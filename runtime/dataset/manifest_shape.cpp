#include "runtime/dataset/manifest_shape.h"

#include "parallel/base/check.h"
#include "runtime/dataset/json_line.h"
#include "runtime/text/messages.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>
#include <utility>

namespace retinue::runtime::detail {
namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

[[noreturn]] void refuse(const std::string& name, std::string_view found,
                         const std::string& command) {
  const std::string file = name == "-" ? "FILE" : name;
  throw UsageError(fmt::format(
      "[--input] {}: wanted one JSON object per line, got {}. Convert it: {} '{}' > new.jsonl",
      name == "-" ? "standard input" : name, found, command, file));
}

using Json = nlohmann::ordered_json;

/// The JSON of a line; discarded where it is none, or too deep.
Json json_of(std::string_view line) {
  auto json = parse_json_line(std::string(line));
  return json.ok() ? std::move(json).value() : Json(Json::value_t::discarded);
}

/// Whether the text begins with a whole object behind which another one follows.
bool is_joined(std::string_view line) {
  constexpr std::size_t kMostTries = 64;
  std::size_t at = line.find('}');
  for (std::size_t tries = 0; at != std::string_view::npos && tries < kMostTries; ++tries) {
    if (trim(line.substr(at + 1)).starts_with('{') && json_of(line.substr(0, at + 1)).is_object())
      return true;
    at = line.find('}', at + 1);
  }
  return false;
}

/// The key of an object whose value is the list of all items, as COCO writes one; empty: none.
std::string list_of_items(const Json& json) {
  for (const char* key :
       {"id", "image", "video", "messages", "prompt", "question", "conversations", "custom_id"})
    if (json.contains(key)) return "";
  for (const auto& [key, value] : json.items())
    if (value.is_array() && !value.empty() && value.front().is_object() &&
        !(key == "images" && media_text(value.front())))
      return key;
  return "";
}

/// Refuses lines that begin as objects, and of which none is one.
void check_objects(std::string_view line, std::string_view next, const std::string& name) {
  const Json json = json_of(line);
  if (json.is_object()) {
    if (const std::string key = next.empty() ? list_of_items(json) : ""; !key.empty())
      refuse(name, fmt::format("one object with a list \"{}\"", key.substr(0, 40)),
             fmt::format("jq -c '.[\"{}\"][]'", key.substr(0, 40)));
    return;
  }
  if (is_joined(line)) refuse(name, "several objects in a line", "jq -c .");
  // A good line after a bad first one: the bad line alone fails.
  if (next.empty() || json_of(next).is_object()) return;
  if (!next.starts_with('{')) refuse(name, "JSON objects over several lines", "jq -c .");
  if (line.ends_with(',') && json_of(line.substr(0, line.size() - 1)).is_object())
    refuse(name, "objects with commas behind them", "sed 's/,[[:space:]]*$//'");
  if (line.starts_with("{'") && next.starts_with("{'"))
    refuse(name, "Python's dictionaries",
           "python3 -c 'import ast,json,sys; [print(json.dumps(ast.literal_eval(l))) for l in "
           "open(sys.argv[1])]'");
}

/// The separator that both lines have equally often; 0: none.
char separator_of(std::string_view line, std::string_view next) {
  for (const char separator : {'\t', ',', ';', '|'}) {
    const auto times = std::count(line.begin(), line.end(), separator);
    if (times > 0 && (next.empty() || separator == '\t' || separator == ',' ||
                      std::count(next.begin(), next.end(), separator) == times))
      return separator;
  }
  return 0;
}

}  // namespace

void check_manifest_shape(const std::string& first, const std::string& second,
                          const std::string& name) {
  // A zero byte is half of a UTF-16 letter: JSON has none.
  if (first.starts_with("\xFF\xFE") || first.starts_with("\xFE\xFF") ||
      first.find('\0') != std::string::npos)
    refuse(name, "UTF-16", "iconv -f UTF-16 -t UTF-8");
  const std::string text = first.starts_with("\xEF\xBB\xBF") ? first.substr(3) : first;
  const std::string_view line = trim(text), next = trim(second);
  if (line.empty()) return;
  if (line.starts_with('{')) return check_objects(line, next, name);
  if (line.starts_with('\x1E') && json_of(line.substr(1)).is_object())
    refuse(name, "a sequence with record separators", "jq --seq -c .");
  if (next.starts_with('{') && !line.starts_with('[')) return;
  const auto parsed = parse_json_line(text);
  if (!parsed.ok()) return;
  const bool is_json = !parsed.value().is_discarded();
  if (line.starts_with('[') && (!is_json || next.empty()))
    refuse(name, "a JSON array", "jq -c '.[]'");
  if (is_json && parsed.value().is_array() && json_of(next).is_array())
    refuse(name, "an array in each line", "jq -c '{images: .}'");
  if (is_json && parsed.value().is_string()) refuse(name, "a list of texts", "jq -c '{image: .}'");
  if (is_json) return;
  const bool printable =
      std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < ' ' && c != '\t'; });
  if (!printable) return;
  const char separator = separator_of(line, next);
  if (separator == 0)
    refuse(name, "a list of paths or other text", "jq -R -c 'select(. != \"\") | {image: .}'");
  // Excel writes a byte order mark.
  refuse(name, "CSV or other text with separators",
         fmt::format("python3 -c 'import csv,json,sys; [print(json.dumps(r)) for r in "
                     "csv.DictReader(open(sys.argv[1], encoding=\"utf-8-sig\", newline=\"\"), "
                     "delimiter=\"{}\")]'",
                     separator == '\t' ? "\\t" : std::string(1, separator)));
}

}  // namespace retinue::runtime::detail
