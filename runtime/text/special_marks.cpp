#include "runtime/text/special_marks.h"

#include "parallel/base/utf8.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace retinue::runtime {
namespace {

using Json = nlohmann::ordered_json;

/// One bit for each of U+FDD0 … U+FDEF that occurs.
void collect(const Json& json, std::uint32_t& used) {
  const auto scan = [&](std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      const Utf8Step step = decode_utf8(text, at);
      if (step.code_point >= 0xFDD0 && step.code_point <= 0xFDEF) {
        used |= std::uint32_t{1} << (step.code_point - 0xFDD0);
      }
      at += step.bytes;
    }
  };
  if (json.is_string()) scan(json.get_ref<const std::string&>());
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      scan(key);
      collect(value, used);
    }
  } else if (json.is_array()) {
    for (const Json& value : json) collect(value, used);
  }
}

}  // namespace

std::optional<SpecialMarks> SpecialMarks::choose(const std::vector<std::string>& special_tokens,
                                                 const std::vector<const Json*>& inputs) {
  std::uint32_t used = 0;
  for (const Json* input : inputs) collect(*input, used);
  for (char32_t i = 0; i < 32; ++i) {
    if ((used >> i & 1U) != 0) continue;
    SpecialMarks marks;
    marks.specials_ = special_tokens;
    append_utf8(marks.mark_, 0xFDD0 + i);
    return marks;
  }
  return std::nullopt;
}

std::string SpecialMarks::mark_text(std::string_view raw) const {
  const std::string text = replace_malformed_utf8(raw);
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = decode_utf8(text, at).bytes;
    const std::string_view rest = std::string_view(text).substr(at);
    out += rest.substr(0, bytes);
    const bool marked = std::any_of(specials_.begin(), specials_.end(), [&](const std::string& s) {
      if (!s.starts_with(rest.substr(0, bytes))) return false;
      if (at + bytes > last || s.size() == bytes) return true;
      const std::size_t second = decode_utf8(s, bytes).bytes;
      return rest.substr(bytes, second) == std::string_view(s).substr(bytes, second);
    });
    if (marked) out += mark_;
    at += bytes;
  }
  return out;
}

Json SpecialMarks::mark(const Json& input) const {
  if (input.is_string()) return mark_text(input.get_ref<const std::string&>());
  if (input.is_array()) {
    Json out = Json::array();
    for (const Json& value : input) out.push_back(mark(value));
    return out;
  }
  if (!input.is_object()) return input;
  Json out = Json::object();
  for (const auto& [key, value] : input.items()) out[mark_text(key)] = mark(value);
  return out;
}

std::vector<std::size_t> SpecialMarks::unmark(std::string& text) const {
  std::vector<std::size_t> offsets;
  std::string out;
  std::size_t from = 0;
  for (std::size_t at = text.find(mark_); at != std::string::npos; at = text.find(mark_, from)) {
    out.append(text, from, at - from);
    from = at + mark_.size();
    std::size_t begin = out.size();
    while (begin > 0 && (static_cast<unsigned char>(out[--begin]) & 0xC0U) == 0x80U) {
    }
    offsets.push_back(begin);
  }
  text = out.append(text, from);
  return offsets;
}

}  // namespace retinue::runtime
