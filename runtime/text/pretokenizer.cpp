#include "runtime/text/pretokenizer.h"

#include "parallel/base/check.h"
#include "parallel/base/utf8.h"
#include "runtime/text/unicode/unicode_class.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace retinue::runtime {
namespace {

/// One character of the text and where it ends.
struct Character {
  char32_t code_point = 0;
  UnicodeClass kind = UnicodeClass::kOther;
  std::size_t end = 0;

  [[nodiscard]] bool letter() const { return kind == UnicodeClass::kLetter; }
  [[nodiscard]] bool number() const { return kind == UnicodeClass::kNumber; }
  [[nodiscard]] bool space() const { return kind == UnicodeClass::kSpace; }
  [[nodiscard]] bool other() const { return end != 0 && kind == UnicodeClass::kOther; }
  [[nodiscard]] bool newline() const { return code_point == '\r' || code_point == '\n'; }
};

/// The character at `at`; past the end one without a class.
Character character_at(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  const Utf8Step step = decode_utf8(text, at);
  return {step.code_point, unicode_facts(step.code_point).kind, at + step.bytes};
}

/// (?i:'s|'t|'re|'ve|'m|'ll|'d) after the apostrophe; 0 where there is none. Simple case folding
/// takes U+017F, the long s, for an s; no other character outside ASCII folds to these letters.
std::size_t contraction_end(std::string_view text, std::size_t at) {
  const auto lower = [&](std::size_t i) {
    return i < text.size() ? static_cast<char>(static_cast<unsigned char>(text[i]) | 0x20U) : '\0';
  };
  const char first = lower(at), second = lower(at + 1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 1;
  if ((first == 'r' || first == 'v') && second == 'e') return at + 2;
  if (first == 'l' && second == 'l') return at + 2;
  if (text.substr(at, 2) == "\u017F") return at + 2;
  return 0;
}

std::size_t letters_end(std::string_view text, std::size_t at) {
  for (Character c = character_at(text, at); c.letter(); c = character_at(text, at)) at = c.end;
  return at;
}

/// \s*[\r\n]+|\s+(?!\S)|\s+ at a run of white space.
std::size_t space_end(std::string_view text, std::size_t at) {
  std::size_t end = at, last_begin = at, newline_end = 0;
  Character c = character_at(text, at);
  for (; c.space(); c = character_at(text, end)) {
    last_begin = end;
    end = c.end;
    if (c.newline()) newline_end = end;
  }
  if (newline_end != 0) return newline_end;
  // The last one belongs to the next piece, unless it is the only one or ends the text.
  if (end == text.size() || last_begin == at) return end;
  return last_begin;
}

/// Normalises code points between two that no composition crosses: decomposed, marks sorted,
/// composed.
class Composer {
 public:
  void add(char32_t code_point) { points_.push_back(static_cast<std::int32_t>(code_point)); }

  void flush(std::string& out) {
    if (points_.empty()) return;
    decompose();
    sort_marks();
    const utf8proc_ssize_t length = utf8proc_normalize_utf32(
        parts_.data(), static_cast<utf8proc_ssize_t>(parts_.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    check(length >= 0, "utf8proc composes");
    for (utf8proc_ssize_t i = 0; i < length; ++i) {
      append_utf8(out, static_cast<char32_t>(parts_[static_cast<std::size_t>(i)]));
    }
    points_.clear();
    parts_.clear();
  }

 private:
  void decompose() {
    std::int32_t buffer[32];
    for (const std::int32_t point : points_) {
      int boundary = 0;
      const utf8proc_ssize_t n = utf8proc_decompose_char(
          point, buffer, 32, static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE),
          &boundary);
      check(n >= 0 && n <= 32, "a decomposition fits");
      parts_.insert(parts_.end(), buffer, buffer + n);
    }
  }

  // utf8proc_decompose sorts by exchanging neighbours, which is quadratic in a run of marks.
  void sort_marks() {
    const auto rank = [](std::int32_t c) { return utf8proc_get_property(c)->combining_class; };
    for (auto begin = parts_.begin(); begin != parts_.end();) {
      begin = std::find_if(begin, parts_.end(), [&](std::int32_t c) { return rank(c) != 0; });
      const auto end =
          std::find_if(begin, parts_.end(), [&](std::int32_t c) { return rank(c) == 0; });
      std::stable_sort(begin, end,
                       [&](std::int32_t a, std::int32_t b) { return rank(a) < rank(b); });
      begin = end;
    }
  }

  std::vector<std::int32_t> points_;
  std::vector<std::int32_t> parts_;
};

bool is_composed(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    if (step.code_point >= 0x80 && unicode_facts(step.code_point).unstable) return false;
    at += step.bytes;
  }
  return true;
}

}  // namespace

std::string normalize_nfc(std::string_view text) {
  if (is_composed(text)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  Composer stretch;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = decode_utf8(text, at);
    if (unicode_facts(step.code_point).composes) {
      stretch.add(step.code_point);
    } else {
      stretch.flush(out);
      out.append(text, at, step.bytes);
    }
    at += step.bytes;
  }
  stretch.flush(out);
  return out;
}

std::size_t next_piece_end(std::string_view text, std::size_t at) {
  const Character c = character_at(text, at);
  if (c.code_point == '\'') {
    if (const std::size_t end = contraction_end(text, c.end)) return end;
  }
  if (c.letter()) return letters_end(text, c.end);
  if (c.number()) return c.end;
  const Character next = character_at(text, c.end);
  if (next.letter() && !c.newline()) return letters_end(text, next.end);
  if (c.other() || (c.code_point == ' ' && next.other())) {
    std::size_t end = c.end;
    for (Character o = character_at(text, end); o.other(); o = character_at(text, end)) end = o.end;
    while (end < text.size() && (text[end] == '\r' || text[end] == '\n')) ++end;
    return end;
  }
  return space_end(text, at);
}

}  // namespace retinue::runtime
