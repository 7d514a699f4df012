#include "runtime/text/jinja/text.h"

#include "parallel/base/utf8.h"
#include "runtime/text/unicode/unicode_class.h"

namespace retinue::runtime::jinja {
namespace {

std::size_t last_begin(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) --at;
  return at;
}

}  // namespace

bool is_python_space(char32_t c) {
  return unicode_facts(c).kind == UnicodeClass::kSpace || (c >= 0x1C && c <= 0x1F);
}

std::string_view strip(std::string_view text, const std::string* set, bool left, bool right) {
  const auto goes = [&](std::string_view character) {
    if (set != nullptr) return set->find(character) != std::string::npos;
    return is_python_space(decode_utf8(character, 0).code_point);
  };
  while (left && !text.empty()) {
    const std::size_t bytes = decode_utf8(text, 0).bytes;
    if (!goes(text.substr(0, bytes))) break;
    text.remove_prefix(bytes);
  }
  while (right && !text.empty()) {
    const std::size_t at = last_begin(text);
    if (!goes(text.substr(at))) break;
    text.remove_suffix(text.size() - at);
  }
  return text;
}

std::size_t count_characters(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return count;
}

std::string change_case(std::string_view text, bool upper) {
  std::string out(text);
  for (char& c : out) {
    if (upper && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (!upper && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace retinue::runtime::jinja
