#pragma once

// Only for scripts/lint.sh: clang before 16 has no __builtin_source_location, and without it g++'s
// library does not declare std::source_location. clang-tidy needs no more than this.
#include <cstdint>

namespace std {

struct source_location {
  static constexpr source_location current() noexcept { return {}; }
  [[nodiscard]] constexpr uint_least32_t line() const noexcept { return 0; }
  [[nodiscard]] constexpr const char* file_name() const noexcept { return ""; }
  [[nodiscard]] constexpr const char* function_name() const noexcept { return ""; }
};

}  // namespace std
