#pragma once

#include "parallel/base/named.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace retinue::launcher {

/// A member that has a form in text: an enum, or a small value type.
struct TextForm {
  /// Reads the member. `where` begins the message. Throws: UsageError.
  std::function<void(std::string_view text, std::string_view where)> read;
  std::function<std::string()> text;  ///< the member; empty: not given
};

namespace detail {
[[noreturn]] void refuse_name(std::string_view where, const std::vector<std::string_view>& names,
                              std::string_view got);
}

/// The form of a member that has one of the values in `names`, a table of static storage.
template <class T, std::size_t N>
TextForm by_name(T& member, const std::array<Named<T>, N>& names) {
  return {.read =
              [&member, &names](std::string_view text, std::string_view where) {
                const auto found = std::ranges::find(names, text, &Named<T>::name);
                if (found == names.end()) {
                  std::vector<std::string_view> known;
                  for (const Named<T>& one : names)
                    if (!one.name.empty()) known.push_back(one.name);
                  detail::refuse_name(where, known, text);
                }
                member = found->value;
              },
          .text = [&member, &names] { return std::string(name_in(names, member)); }};
}

/// The form of a member that `parse` reads and its text() writes.
template <class T>
TextForm by_form(T& member, T (*parse)(std::string_view)) {
  return {
      .read = [&member, parse](std::string_view text, std::string_view) { member = parse(text); },
      .text = [&member] { return member.text(); }};
}

/// The form of a text of which it matters whether it was given, be it as the default.
inline TextForm noted(std::string& member, bool& given) {
  return {.read =
              [&member, &given](std::string_view text, std::string_view) {
                member = text;
                given = true;
              },
          .text = [&member] { return member; }};
}

/// The member that an option sets.
using Target = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, double*, std::string*,
                            std::vector<std::string>*, std::optional<std::int64_t>*,
                            std::optional<std::uint64_t>*, std::optional<double>*, TextForm>;

/// One row of a table: the flag `--name`, and the key of --config, which is the name with
/// underscores. A bool is set by the bare flag; a vector takes the flag several times.
struct Option {
  std::string_view name;       ///< "max-new-tokens"
  std::string_view type = {};  ///< as help shows it: "N", "DIR", "a|b"
  std::string_view unit = {};  ///< "tokens"; empty: none
  /// The default as help shows it; empty: the value in the struct.
  std::string_view fallback = {};
  std::string_view help = {};
  Target target = {};
  bool required = false;
  /// Of a text: a number alone is a value, too, and a file of --config may hold it as one.
  bool may_be_number = false;
  double at_least = 0;  ///< for numbers
  /// For numbers that are no seeds. A number beyond reason is a slip of the keyboard: refused here, it
  /// overflows no product later.
  double at_most = 1e9;
};

/// The rows of one options struct.
struct Table {
  std::string_view title;
  std::vector<Option> options;
};

/// "max_new_tokens".
std::string key_of(const Option& option);
[[nodiscard]] bool is_flag(const Option& option);
/// True for an option that may be given several times, each adding a value.
[[nodiscard]] bool is_list(const Option& option);

/// Reads one value from text. `where` begins the message: "[caption] --top-k".
/// Throws: UsageError when the text is no such value.
void set_from_text(const Option& option, std::string_view text, std::string_view where);
/// Reads one value from a piece of JSON text, as a file of --config holds it: strings, whole and
/// real numbers, booleans; a number for a text that may be one; a list, or one string, for options
/// that take several.
void set_from_json(const Option& option, std::string_view json, std::string_view where);
/// Removes the values of a list.
void clear_list(const Option& option);

/// The flags for the values in which `now` differs from `standard`, the same table of other
/// options. A process that reads them gets the options of `now`.
std::vector<std::string> arguments_of(const Table& now, const Table& standard);

/// True where the member is neither empty nor none.
[[nodiscard]] bool has_value(const Option& option);
/// The default as help shows it. Call it before any value is read.
std::string default_text(const Option& option);

}  // namespace retinue::launcher
