#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include <cstddef>
#include <string>
#include <string_view>

namespace retinue::runtime::jinja {

/// Python's str.isspace of one character: white space of Unicode and U+001C to U+001F.
bool is_python_space(char32_t c);

/// str.strip: removes characters of `set` from the chosen ends; white space where `set` is null.
std::string_view strip(std::string_view text, const std::string* set, bool left, bool right);

/// Number of characters.
std::size_t count_characters(std::string_view text);

/// str.upper and str.lower for ASCII; other characters are unchanged.
std::string change_case(std::string_view text, bool upper);

}  // namespace retinue::runtime::jinja
