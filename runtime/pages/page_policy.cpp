#include "runtime/pages/page_policy.h"

#include "parallel/base/check.h"
#include "parallel/base/hash.h"

#include <fmt/format.h>

#include <cstdint>

namespace retinue::runtime {
namespace {

std::string base64_of_hex(const std::string& hex) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char digit : hex) {
    bits = bits << 4 | static_cast<std::uint32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
    for (count += 4; count >= 6; count -= 6) text += kDigits[bits >> (count - 6) & 63];
  }
  if (count > 0) text += kDigits[bits << (6 - count) & 63];
  while (text.size() % 4 != 0) text += '=';
  return text;
}

/// Hashes the text of the only element `<name>`, as browsers do. A `<script type=…>` holds data.
std::string hash_of(std::string_view page, std::string_view name) {
  const std::string open = fmt::format("<{}>", name), close = fmt::format("</{}>", name);
  const std::size_t begin = page.find(open), end = page.find(close, begin);
  check(begin != page.npos && end != page.npos && page.find(open, begin + 1) == page.npos,
        "the page has one script and one style");
  const std::string_view text = page.substr(begin + open.size(), end - begin - open.size());
  return "'sha256-" + base64_of_hex(sha256_hex(text)) + "'";
}

}  // namespace

std::string policy_of_page(std::string_view page) {
  return fmt::format("default-src 'none'; script-src {}; style-src {}", hash_of(page, "script"),
                     hash_of(page, "style"));
}

}  // namespace retinue::runtime
