#include "runtime/dataset/manifest_shape.h"

#include "parallel/base/check.h"
#include "runtime/dataset/json_line.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

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

}  // namespace

void check_manifest_shape(const std::string& first, const std::string& second,
                          const std::string& name) {
  // A zero byte is half of a UTF-16 letter: JSON has none.
  if (first.starts_with("\xFF\xFE") || first.starts_with("\xFE\xFF") ||
      first.find('\0') != std::string::npos)
    refuse(name, "UTF-16", "iconv -f UTF-16 -t UTF-8");
  const std::string text = first.starts_with("\xEF\xBB\xBF") ? first.substr(3) : first;
  const std::string_view line = trim(text), next = trim(second);
  // A good line after a bad first one: the bad line alone fails.
  if (line.empty() || (next.starts_with('{') && !line.starts_with('['))) return;
  const auto json = parse_json_line(text);
  const bool is_json = json.ok() && !json.value().is_discarded();
  if (!json.ok()) return;
  if (line.starts_with('[') && (!is_json || next.empty()))
    refuse(name, "a JSON array", "jq -c '.[]'");
  if (line.starts_with('{')) {
    if (!is_json && !next.empty()) refuse(name, "JSON objects over several lines", "jq -c .");
    return;
  }
  if (is_json && json.value().is_string()) refuse(name, "a list of texts", "jq -c '{image: .}'");
  if (is_json) return;
  const bool list =
      line.find(',') == std::string_view::npos && line.find('\t') == std::string_view::npos;
  const bool printable =
      std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < ' ' && c != '\t'; });
  if (!printable) return;
  if (list)
    refuse(name, "a list of paths or other text", "jq -R -c 'select(. != \"\") | {image: .}'");
  refuse(name, "CSV or other text with separators",
         "python3 -c 'import csv,json,sys; [print(json.dumps(r)) for r in "
         "csv.DictReader(open(sys.argv[1]))]'");
}

}  // namespace retinue::runtime::detail
