#include "parallel/base/utf8.h"

#include <algorithm>
#include <cstdint>

namespace retinue {

Utf8Step decode_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(at);
  if (first < 0x80) return {first, 1, true, false};

  // The range of the second byte depends on the lead byte: no overlong form, surrogate or value
  // past U+10FFFF ever begins.
  std::size_t length = 0;
  char32_t value = 0;
  std::uint8_t low = 0x80, high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
    value = first & 0x1FU;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    value = first & 0x0FU;
    if (first == 0xE0) low = 0xA0;
    if (first == 0xED) high = 0x9F;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    value = first & 0x07U;
    if (first == 0xF0) low = 0x90;
    if (first == 0xF4) high = 0x8F;
  } else {
    return {0xFFFD, 1, false, false};
  }
  for (std::size_t i = 1; i < length; ++i) {
    if (at + i == text.size()) return {0xFFFD, i, false, true};
    const std::uint8_t next = byte(at + i);
    if (next < low || next > high) return {0xFFFD, i, false, false};
    value = (value << 6U) | (next & 0x3FU);
    low = 0x80;
    high = 0xBF;
  }
  return {value, length, true, false};
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0U | (code_point >> 6U));
    put(0x80U | (code_point & 0x3FU));
  } else if (code_point < 0x10000) {
    put(0xE0U | (code_point >> 12U));
    put(0x80U | ((code_point >> 6U) & 0x3FU));
    put(0x80U | (code_point & 0x3FU));
  } else {
    put(0xF0U | (code_point >> 18U));
    put(0x80U | ((code_point >> 12U) & 0x3FU));
    put(0x80U | ((code_point >> 6U) & 0x3FU));
    put(0x80U | (code_point & 0x3FU));
  }
}

std::string replace_malformed_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    if (step.well_formed) {
      out.append(text, at, step.bytes);
    } else {
      append_utf8(out, 0xFFFD);
    }
    at += step.bytes;
  }
  return out;
}

bool is_well_formed_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    if (!step.well_formed) return false;
    at += step.bytes;
  }
  return true;
}

std::size_t incomplete_utf8_tail(std::string_view text) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(3, text.size()); ++bytes) {
    const std::size_t at = text.size() - bytes;
    const Utf8Step step = decode_utf8(text, at);
    if (step.truncated && step.bytes == bytes) return bytes;
    // A lead byte that is not truncated ends the search; a continuation byte may belong to one.
    if ((static_cast<std::uint8_t>(text[at]) & 0xC0U) != 0x80U) return 0;
  }
  return 0;
}

}  // namespace retinue
