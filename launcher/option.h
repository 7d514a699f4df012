#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace retinue::launcher {

/// The member that an option fills.
using Target = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*,
                            std::vector<std::string>*, std::optional<std::int64_t>*,
                            std::optional<std::uint64_t>*, std::optional<double>*>;

/// One row of a table: the flag `--name`, and the key of --config, which is the name with
/// underscores. A bool is set by the bare flag; a vector takes the flag several times.
struct Option {
  std::string_view name;       ///< "max-new-tokens"
  std::string_view type = {};  ///< as help shows it: "N", "DIR"; lower-case "a|b" admits just these
  std::string_view unit = {};  ///< "tokens"; empty: none
  /// What holds when it is not given; empty: the value in the struct.
  std::string_view fallback = {};
  std::string_view help = {};
  Target target = {};
  bool required = false;
  double at_least = 0;  ///< of numbers
};

/// The rows of one options struct.
struct Table {
  std::string_view title;
  std::vector<Option> options;
};

/// "max_new_tokens".
std::string key_of(const Option& option);
[[nodiscard]] bool is_flag(const Option& option);
/// Takes several values: each adds one.
[[nodiscard]] bool is_list(const Option& option);

/// Reads one value from text. `where` begins the message: "[caption] --top-k".
/// Throws: UsageError when the text is no such value.
void set_from_text(const Option& option, std::string_view text, std::string_view where);
/// Reads one value from a piece of JSON text, as a file of --config holds it: strings, whole and
/// real numbers, booleans; a list, or one string, for options that take several.
void set_from_json(const Option& option, std::string_view json, std::string_view where);
/// Forgets the values so far of an option that takes several.
void clear_list(const Option& option);

/// The flags that give `now` what it has and `standard`, the same table of other options, has not:
/// another process that reads them gets the same options.
std::vector<std::string> arguments_of(const Table& now, const Table& standard);

/// Given: neither empty nor nothing.
[[nodiscard]] bool has_value(const Option& option);
/// The default as help shows it; asked before any value is read.
std::string default_text(const Option& option);

}  // namespace retinue::launcher
