#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace retinue {

/// One step through UTF-8 text. Malformed bytes give U+FFFD once per maximal subpart, as Python's
/// errors="replace" and the Unicode standard (3.9, table 3-7) cut them.
struct Utf8Step {
  char32_t code_point = 0xFFFD;
  std::size_t bytes = 1;    ///< to the next step, ≥ 1
  bool well_formed = true;  ///< false: `code_point` is a replacement
  bool truncated = false;   ///< true: more bytes could have completed the character
};

/// Decodes the character at byte `at`, which must lie inside `text`.
Utf8Step decode_utf8(std::string_view text, std::size_t at);

/// Appends `code_point` as one to four bytes.
void append_utf8(std::string& out, char32_t code_point);

/// `text` with every malformed subpart replaced by U+FFFD.
std::string replace_malformed_utf8(std::string_view text);

[[nodiscard]] bool is_well_formed_utf8(std::string_view text);

/// Bytes at the end of `text` that begin a character and do not finish it: 0 to 3.
std::size_t incomplete_utf8_tail(std::string_view text);

}  // namespace retinue
