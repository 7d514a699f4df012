#include "runtime/text/byte_alphabet.h"

#include "parallel/base/utf8.h"

namespace retinue::runtime {
namespace {

constexpr bool printable(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr std::array<char32_t, 256> kSymbols = [] {
  std::array<char32_t, 256> symbols{};
  char32_t next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) symbols[byte] = printable(byte) ? byte : next++;
  return symbols;
}();

constexpr std::array<std::int16_t, 0x144> kBytes = [] {
  std::array<std::int16_t, 0x144> bytes{};
  for (auto& b : bytes) b = -1;
  for (unsigned byte = 0; byte < 256; ++byte)
    bytes[kSymbols[byte]] = static_cast<std::int16_t>(byte);
  return bytes;
}();

}  // namespace

std::array<char32_t, 256> byte_symbols() { return kSymbols; }

std::string bytes_of_token(std::string_view token) {
  std::string out;
  for (std::size_t at = 0; at < token.size();) {
    const Utf8Step step = decode_utf8(token, at);
    if (step.code_point >= kBytes.size() || kBytes[step.code_point] < 0) return std::string(token);
    out += static_cast<char>(kBytes[step.code_point]);
    at += step.bytes;
  }
  return out;
}

}  // namespace retinue::runtime
