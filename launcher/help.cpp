#include "launcher/help.h"

#include "launcher/environment.h"
#include "parallel/base/build_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>

namespace retinue::launcher {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::size_t kIndent = 32;

/// `text` in lines of kColumns; all lines but the first are indented.
std::string wrapped(std::string_view text) {
  std::string out;
  std::size_t column = kIndent;
  while (!text.empty()) {
    const std::size_t space = std::min(text.find(' '), text.size());
    if (column > kIndent && column + 1 + space > kColumns) {
      out += "\n" + std::string(kIndent, ' ');
      column = kIndent;
    } else if (column > kIndent) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, space);
    column += space;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return out;
}

std::string described(const Option& option) {
  std::string text(option.help);
  if (option.required) return text + " (required)";
  const std::string value = default_text(option);
  if (value.empty() || is_flag(option)) return text;
  const bool counted = !option.unit.empty() && option.fallback.empty();
  return fmt::format("{} (default: {}{}{})", text, value, counted ? " " : "",
                     counted ? option.unit : "");
}

/// Escapes bars, which would end the cell.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string json_type(const Option& option) {
  if (is_flag(option)) return "true or false";
  if (is_list(option)) return fmt::format("list of {}", option.type);
  return cell(option.type);
}

/// Which keys of `whole` a verb reads whose table is `own`: "" for all of them.
std::string part_of(const Table& whole, const Table& own) {
  std::vector<std::string> read, unread;
  for (const Option& option : whole.options) {
    const bool there =
        std::ranges::find(own.options, option.name, &Option::name) != own.options.end();
    (there ? read : unread).push_back(fmt::format("`{}`", key_of(option)));
  }
  if (unread.empty()) return "";
  return read.size() < unread.size() ? fmt::format(" ({} alone)", fmt::join(read, ", "))
                                     : fmt::format(" (not {})", fmt::join(unread, ", "));
}

}  // namespace

std::string overall_help() {
  std::string out = fmt::format(
      "retinue {}: Qwen3-VL on many ranks, offline\n\nusage: retinue VERB [--option value]...\n\n",
      build::kVersion);
  for (const Verb& verb : verbs())
    fmt::format_to(std::back_inserter(out), "  {:<9} {}\n", verb.name, verb.summary);
  out +=
      "\n'retinue VERB --help' lists the options of a verb; 'retinue --version' names this build.\n"
      "Exit codes: 0 all done, 1 internal bug, 2 usage, 3 some items failed or doctor found "
      "something\n"
      "broken, 4 failure budget exceeded, 75 interrupted or system failure: the same command goes "
      "on.\n";
  return out;
}

std::string verb_help(const Verb& verb, std::span<const Table> tables) {
  std::string out = fmt::format("retinue {}: {}\n\nusage: retinue {} {}\n", verb.name, verb.summary,
                                verb.name, verb.usage);
  for (const Table& table : tables) {
    fmt::format_to(std::back_inserter(out), "\n{}\n", table.title);
    for (const Option& option : table.options) {
      const std::string left = fmt::format("  --{} {}", option.name, option.type);
      const bool own_line = left.size() >= kIndent;
      fmt::format_to(std::back_inserter(out), "{:<{}}{}{}\n", left, own_line ? 0 : kIndent,
                     own_line ? "\n" + std::string(kIndent, ' ') : "", wrapped(described(option)));
    }
  }
  return out;
}

std::string configs_readme() {
  std::string out =
      "# Keys of --config\n\n"
      "Written by `retinue help --markdown`; a test compares it with the tables in\n"
      "`launcher/options.cpp`. A file of `--config` holds one JSON object with any of these keys.\n"
      "A key is its flag with underscores for dashes: `\"max_new_tokens\": 64` is\n"
      "`--max-new-tokens 64`. The file is read first and flags win; an unknown key is an error.\n\n"
      "`models/emoji-captioner/` is a small trained model, `examples/` are scenes with their\n"
      "truth: `scripts/quickstart.sh` runs it on them. `models/tiny-random/` has no weights.\n";
  CommandOptions options;
  struct Shown {
    Table table;
    std::string verbs;
  };
  std::vector<Shown> shown;
  for (const Verb& verb : verbs())
    for (Table& table : tables_of(verb.name, options)) {
      const auto same = std::find_if(shown.begin(), shown.end(),
                                     [&](const Shown& s) { return s.table.title == table.title; });
      if (same == shown.end())
        shown.push_back({std::move(table), std::string(verb.name)});
      else
        same->verbs += fmt::format(", {}{}", verb.name, part_of(same->table, table));
    }
  for (const Shown& one : shown) {
    fmt::format_to(std::back_inserter(out),
                   "\n## {}\n\nRead by: {}.\n\n| key | type | unit | default | meaning |\n"
                   "|---|---|---|---|---|\n",
                   one.table.title, one.verbs);
    for (const Option& option : one.table.options)
      fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} | {} | {} |\n", key_of(option),
                     json_type(option), option.unit, cell(default_text(option)), cell(option.help));
  }
  out += "\n## Environment\n\n| variable | type | meaning |\n|---|---|---|\n";
  for (const Variable& variable : variables())
    fmt::format_to(std::back_inserter(out), "| `{}` | {} | {} |\n", variable.name,
                   cell(variable.type), cell(variable.help));
  return out;
}

}  // namespace retinue::launcher
