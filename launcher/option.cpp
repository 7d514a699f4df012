#include "launcher/option.h"

#include "parallel/base/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>

namespace retinue::launcher {
namespace {

template <class T>
struct Plain {
  using type = T;
};
template <class T>
struct Plain<std::optional<T>> {
  using type = T;
};

[[noreturn]] void refuse(std::string_view where, std::string_view wanted, std::string_view got) {
  throw UsageError(fmt::format("{} wants {}, got {}.", where, wanted, got));
}

/// One function for the members that have a form in text, one for pointers to all others.
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

template <class T>
T number(const Option& option, std::string_view text, std::string_view where) {
  constexpr std::string_view kKind = std::is_floating_point_v<T> ? "a number" : "a whole number";
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::result_out_of_range)
    refuse(where, fmt::format("{} that fits in {} bits", kKind, 8 * sizeof(T)),
           fmt::format("'{}'", text));
  if (error != std::errc() || stop != end) refuse(where, kKind, fmt::format("'{}'", text));
  if constexpr (std::is_floating_point_v<T>)
    if (!std::isfinite(value)) refuse(where, "a finite number", fmt::format("'{}'", text));
  if (static_cast<double>(value) < option.at_least)
    refuse(where, fmt::format("at least {}", option.at_least), text);
  // Unsigned options are seeds: every value is one.
  if (!std::is_unsigned_v<T> && static_cast<double>(value) > option.at_most)
    refuse(where, fmt::format("at most {}", option.at_most), text);
  return value;
}

std::string text_of(double value) { return fmt::format("{}", value); }

}  // namespace

void detail::refuse_name(std::string_view where, const std::vector<std::string_view>& names,
                         std::string_view got) {
  refuse(where, fmt::format("{}", fmt::join(names, "|")), fmt::format("'{}'", got));
}

std::string key_of(const Option& option) {
  std::string key(option.name);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

bool is_flag(const Option& option) { return std::holds_alternative<bool*>(option.target); }

bool is_list(const Option& option) {
  return std::holds_alternative<std::vector<std::string>*>(option.target);
}

void set_from_text(const Option& option, std::string_view text, std::string_view where) {
  std::visit(Overloaded{[&](const TextForm& form) { form.read(text, where); },
                        [&](auto* target) {
                          using T = std::remove_pointer_t<decltype(target)>;
                          if constexpr (std::is_same_v<T, bool>) {
                            if (text != "true" && text != "false")
                              refuse(where, "true or false", fmt::format("'{}'", text));
                            *target = text == "true";
                          } else if constexpr (std::is_same_v<T, std::string>) {
                            *target = text;
                          } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
                            target->emplace_back(text);
                          } else {
                            *target = number<typename Plain<T>::type>(option, text, where);
                          }
                        }},
             option.target);
}

void set_from_json(const Option& option, std::string_view json, std::string_view where) {
  const auto value = nlohmann::json::parse(json);
  const auto text_in = [&](const nlohmann::json& item) {
    if (option.may_be_number && item.is_number()) return item.dump();
    if (!item.is_string())
      refuse(where, option.may_be_number ? "a string or a number" : "a string", item.dump());
    return item.get<std::string>();
  };
  if (is_flag(option)) {
    if (!value.is_boolean()) refuse(where, "true or false", value.dump());
    set_from_text(option, value.dump(), where);
  } else if (std::holds_alternative<std::string*>(option.target) ||
             std::holds_alternative<TextForm>(option.target)) {
    set_from_text(option, text_in(value), where);
  } else if (is_list(option)) {
    if (!value.is_array()) return set_from_text(option, text_in(value), where);
    for (const auto& item : value) set_from_text(option, text_in(item), where);
  } else {
    if (!value.is_number()) refuse(where, "a number", value.dump());
    set_from_text(option, value.dump(), where);
  }
}

void clear_list(const Option& option) {
  std::get<std::vector<std::string>*>(option.target)->clear();
}

std::vector<std::string> arguments_of(const Table& now, const Table& standard) {
  std::vector<std::string> arguments;
  for (std::size_t i = 0; i < now.options.size(); ++i) {
    const Option& option = now.options[i];
    const std::string flag = "--" + std::string(option.name);
    std::visit(
        Overloaded{[&](const TextForm& form) {
                     const std::string text = form.text();
                     if (text != std::get<TextForm>(standard.options[i].target).text())
                       arguments.insert(arguments.end(), {flag, text});
                   },
                   [&](const auto* target) {
                     using T = std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
                     if (*target == *std::get<T*>(standard.options[i].target)) return;
                     if constexpr (std::is_same_v<T, bool>)
                       arguments.push_back(flag);
                     else if constexpr (std::is_same_v<T, std::string>)
                       arguments.insert(arguments.end(), {flag, *target});
                     else if constexpr (std::is_same_v<T, std::vector<std::string>>)
                       for (const std::string& value : *target)
                         arguments.insert(arguments.end(), {flag, value});
                     else if constexpr (std::is_arithmetic_v<T>)
                       arguments.insert(arguments.end(), {flag, fmt::format("{}", *target)});
                     else
                       arguments.insert(arguments.end(), {flag, fmt::format("{}", **target)});
                   }},
        option.target);
  }
  return arguments;
}

bool has_value(const Option& option) {
  return std::visit(Overloaded{[](const TextForm& form) { return !form.text().empty(); },
                               [](const auto* target) {
                                 using T =
                                     std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
                                 if constexpr (std::is_same_v<T, std::string> ||
                                               std::is_same_v<T, std::vector<std::string>>)
                                   return !target->empty();
                                 else if constexpr (std::is_arithmetic_v<T>)
                                   return true;
                                 else
                                   return target->has_value();
                               }},
                    option.target);
}

std::string default_text(const Option& option) {
  if (!option.fallback.empty()) return std::string(option.fallback);
  if (!has_value(option)) return "";
  return std::visit(Overloaded{[](const TextForm& form) { return form.text(); },
                               [](const auto* target) -> std::string {
                                 using T =
                                     std::remove_const_t<std::remove_pointer_t<decltype(target)>>;
                                 if constexpr (std::is_same_v<T, bool>)
                                   return *target ? "on" : "off";
                                 else if constexpr (std::is_same_v<T, std::string>)
                                   return *target;
                                 else if constexpr (std::is_same_v<T, std::vector<std::string>>)
                                   return target->front();
                                 else if constexpr (std::is_arithmetic_v<T>)
                                   return text_of(static_cast<double>(*target));
                                 else
                                   return text_of(static_cast<double>(**target));
                               }},
                    option.target);
}

}  // namespace retinue::launcher
