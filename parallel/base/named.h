#pragma once
// Tested through tests/launcher/option_test.cpp.

#include <array>
#include <cstddef>
#include <string_view>

namespace retinue {

/// One value of an enum, or of another small type, and its name on the command line and in files.
template <class T>
struct Named {
  std::string_view name;
  T value;
};

/// The first name of `value`; empty where it has none.
template <class T, std::size_t N>
constexpr std::string_view name_in(const std::array<Named<T>, N>& names, const T& value) {
  for (const Named<T>& one : names)
    if (one.value == value) return one.name;
  return {};
}

}  // namespace retinue
