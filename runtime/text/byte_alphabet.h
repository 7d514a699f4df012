#pragma once

// Tested through tests/runtime/text/tokenizer_test.cpp.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// The printable character that each byte has in a vocabulary: printable Latin-1 is itself, the
/// other 68 bytes are U+0100 and on, in order.  GPT-2's bytes_to_unicode
std::array<char32_t, 256> byte_symbols();

/// The bytes of a token, from its form in the file. A character outside the alphabet makes the
/// whole token literal, as in the reference's decoder.
std::string bytes_of_token(std::string_view token);

}  // namespace retinue::runtime
