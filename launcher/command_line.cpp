#include "launcher/command_line.h"

#include "launcher/text_file.h"
#include "layers/spec/json_text.h"
#include "parallel/base/check.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace retinue::launcher {
namespace {

constexpr std::string_view kConfig = "config";

/// The number of inserts, deletions, replacements and swaps of neighbours that turn a into b.
std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

const Option* find(std::span<const Table> tables, std::string_view name) {
  for (const Table& table : tables)
    for (const Option& option : table.options)
      if (option.name == name) return &option;
  return nullptr;
}

const Option* find_key(std::span<const Table> tables, std::string_view key) {
  for (const Table& table : tables)
    for (const Option& option : table.options)
      if (key_of(option) == key) return &option;
  return nullptr;
}

[[noreturn]] void unknown_flag(std::string_view verb, std::span<const Table> tables,
                               std::string_view name) {
  std::vector<std::string> names = {"help"};
  for (const Table& table : tables)
    for (const Option& option : table.options) names.emplace_back(option.name);
  throw UsageError(
      fmt::format("[{}] unknown option --{}. The nearest known one is --{}; "
                  "'retinue {} --help' lists all.",
                  verb, name, nearest(name, names), verb));
}

struct Given {
  const Option* option;
  std::string value;
};

/// Options and values in order. All of them are read before any is stored.
std::vector<Given> read_flags(std::string_view verb, std::span<const Table> tables,
                              std::span<const std::string> arguments) {
  std::vector<Given> given;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (!argument.starts_with("--") || argument.size() == 2) {
      const bool takes_input = find(tables, "input") != nullptr;
      throw UsageError(fmt::format(
          "[{}] '{}' is no option: every value follows the name of its option{}.", verb, argument,
          takes_input ? fmt::format(", as in --input {}", argument)
                      : fmt::format("; 'retinue {} --help' lists them", verb)));
    }
    const std::size_t equals = argument.find('=');
    const std::string_view name = argument.substr(2, equals == argument.npos ? equals : equals - 2);
    const Option* option = find(tables, name);
    if (option == nullptr) unknown_flag(verb, tables, name);
    if (equals != argument.npos) {
      given.push_back({option, std::string(argument.substr(equals + 1))});
    } else if (is_flag(*option)) {
      given.push_back({option, "true"});
    } else {
      if (i + 1 == arguments.size() || std::string_view(arguments[i + 1]).starts_with("--"))
        throw UsageError(
            fmt::format("[{}] --{} wants a value: {}. One that begins with -- is "
                        "written --{}=VALUE.",
                        verb, name, option->type, name));
      given.push_back({option, arguments[++i]});
    }
  }
  return given;
}

}  // namespace

std::string nearest(std::string_view name, std::span<const std::string> candidates) {
  const std::string* best = nullptr;
  std::size_t least = 0;
  for (const std::string& candidate : candidates) {
    std::size_t cost = 2 * edits(name, candidate);
    // "tensor" means tensor-parallel, although many letters are missing.
    if (name.size() >= 3 && candidate.starts_with(name)) cost = 1;
    if (best == nullptr || cost < least) {
      best = &candidate;
      least = cost;
    }
  }
  return best == nullptr ? "" : *best;
}

void apply_config(std::span<const Table> tables, std::string_view text, std::string_view file) {
  const auto json =
      layers::parse_json_or_refuse<nlohmann::json>(text, fmt::format("[config] {}", file));
  if (!json.is_object())
    throw UsageError(
        fmt::format("[config] {} must hold one JSON object, got {}.", file, json.type_name()));
  std::vector<std::string> keys;
  for (const Table& table : tables)
    for (const Option& option : table.options)
      if (option.name != kConfig) keys.push_back(key_of(option));
  for (const auto& [key, value] : json.items()) {
    const Option* option = key == kConfig ? nullptr : find_key(tables, key);
    if (option == nullptr)
      throw UsageError(fmt::format("[config] {}: unknown key '{}'. The nearest known one is '{}'.",
                                   file, key, nearest(key, keys)));
    set_from_json(*option, value.dump(), fmt::format("[config] {}: '{}'", file, key));
  }
}

Asked parse_command_line(std::string_view verb, std::span<const Table> tables,
                         std::span<const std::string> arguments) {
  if (std::find(arguments.begin(), arguments.end(), "--help") != arguments.end())
    return Asked::kHelp;
  const std::vector<Given> given = read_flags(verb, tables, arguments);
  std::string config;
  for (const Given& flag : given)
    if (flag.option->name == kConfig) config = flag.value;
  if (!config.empty()) apply_config(tables, read_text_file(config, "[config]", "--config"), config);

  std::set<const Option*> begun;
  for (const Given& flag : given) {
    if (is_list(*flag.option) && begun.insert(flag.option).second) clear_list(*flag.option);
    set_from_text(*flag.option, flag.value, fmt::format("[{}] --{}", verb, flag.option->name));
  }
  for (const Table& table : tables)
    for (const Option& option : table.options)
      if (option.required && !has_value(option))
        throw UsageError(fmt::format("[{}] --{} {} is required: {}.", verb, option.name,
                                     option.type, option.help));
  return Asked::kRun;
}

}  // namespace retinue::launcher
