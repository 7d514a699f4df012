#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// The printable stand-ins of bytes in a vocabulary: printable Latin-1 stands for itself, the other
/// 68 bytes for U+0100 and on, in order.  GPT-2's bytes_to_unicode
std::array<char32_t, 256> byte_symbols();

/// The bytes that a token's file form stands for. A character outside the alphabet makes the whole
/// token literal, as in the reference's decoder.
std::string bytes_of_token(std::string_view token);

}  // namespace retinue::runtime
