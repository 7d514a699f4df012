#include "runtime/text/jinja/lexer.h"

#include "parallel/base/utf8.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/value.h"

#include <fmt/format.h>

#include <array>
#include <cctype>

namespace retinue::runtime::jinja {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_begin(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const std::size_t tag = next_tag();
      std::string_view text = source_.substr(at_, tag - at_);
      if (tag == source_.size()) {
        put_text(text, at_);
        break;
      }
      const char kind = source_[tag + 1];
      const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      text = strip_before(text, kind, sign);
      put_text(text, at_);
      at_ = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
      if (kind == '#') {
        comment(tag);
      } else if (kind == '%' && raw_begins()) {
        raw(tag);
      } else {
        tag_tokens(kind, tag);
      }
    }
    tokens_.push_back({TokenKind::kEnd, "", source_.size()});
    return std::move(tokens_);
  }

 private:
  [[noreturn]] static void fail(const std::string& message, std::size_t offset) {
    throw TemplateError(message, offset);
  }

  [[nodiscard]] std::size_t next_tag() const {
    for (std::size_t i = source_.find('{', at_); i != std::string_view::npos;
         i = source_.find('{', i + 1)) {
      if (i + 1 < source_.size() &&
          std::string_view("{%#").find(source_[i + 1]) != std::string_view::npos)
        return i;
    }
    return source_.size();
  }

  void put_text(std::string_view text, std::size_t offset) {
    if (!text.empty()) tokens_.push_back({TokenKind::kText, std::string(text), offset});
  }

  /// `{%-` removes all white space before it. lstrip_blocks removes it between a line's begin and a
  /// block or comment, unless the tag has a `+`.
  [[nodiscard]] std::string_view strip_before(std::string_view text, char kind, char sign) const {
    if (sign == '-') return strip(text, nullptr, false, true);
    if (sign == '+' || kind == '{') return text;
    const std::size_t newline = text.rfind('\n');
    const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
    if (begin == 0 && !line_starts_) return text;
    return strip(text.substr(begin), nullptr, true, false).empty() ? text.substr(0, begin) : text;
  }

  /// After a closing delimiter: `-%}` removes all white space, trim_blocks one newline.
  void close(std::size_t end, char sign, bool trims) {
    at_ = end;
    if (sign == '-') {
      while (at_ < source_.size() && is_python_space(decode_utf8(source_, at_).code_point)) {
        at_ += decode_utf8(source_, at_).bytes;
      }
    } else if (sign != '+' && trims && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
    line_starts_ = source_[at_ - 1] == '\n';
  }

  void comment(std::size_t tag) {
    const std::size_t end = source_.find("#}", at_);
    if (end == std::string_view::npos) fail("the comment is not closed", tag);
    const char sign = end > at_ ? source_[end - 1] : '\0';
    close(end + 2, sign, true);
  }

  void skip_space() {
    while (at_ < source_.size() && is_python_space(decode_utf8(source_, at_).code_point)) {
      at_ += decode_utf8(source_, at_).bytes;
    }
  }

  /// Reads `word` and the end of the block from at_. Returns the sign before the end; '\0' where
  /// something else follows.
  [[nodiscard]] bool word_block(std::string_view word, char& sign) {
    skip_space();
    if (source_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    skip_space();
    sign = at_ < source_.size() ? source_[at_] : '\0';
    if (sign == '-' || sign == '+') ++at_;
    if (source_.substr(at_, 2) != "%}") return false;
    at_ += 2;
    return true;
  }

  bool raw_begins() {
    const std::size_t begin = at_;
    char sign = '\0';
    if (!word_block("raw", sign)) return at_ = begin, false;
    if (sign == '-') skip_space();
    return true;
  }

  void raw(std::size_t tag) {
    const std::size_t begin = at_;
    for (std::size_t i = source_.find("{%", at_); i != std::string_view::npos;
         i = source_.find("{%", i + 2)) {
      at_ = i + 2;
      const char before = at_ < source_.size() ? source_[at_] : '\0';
      if (before == '-' || before == '+') ++at_;
      char after = '\0';
      if (!word_block("endraw", after)) continue;
      line_starts_ = source_[begin - 1] == '\n';
      put_text(strip_before(source_.substr(begin, i - begin), '%', before), begin);
      close(at_, after, true);
      return;
    }
    fail("raw without endraw", tag);
  }

  void tag_tokens(char kind, std::size_t tag) {
    const bool variable = kind == '{';
    const std::string_view end = variable ? "}}" : "%}";
    tokens_.push_back({variable ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "", tag});
    std::string open;  // brackets that are not closed yet
    while (true) {
      skip_space();
      if (at_ >= source_.size()) fail("the tag is not closed", tag);
      if (open.empty()) {
        const char sign = source_[at_];
        const bool marked = sign == '-' || (sign == '+' && !variable);
        const std::size_t close_at = marked ? at_ + 1 : at_;
        if (source_.substr(close_at, 2) == end) {
          tokens_.push_back({variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, "", at_});
          close(close_at + 2, marked ? sign : '\0', !variable);
          return;
        }
      }
      token(open);
    }
  }

  void token(std::string& open) {
    const char c = source_[at_];
    if (is_name_begin(c)) {
      const std::size_t begin = at_;
      while (at_ < source_.size() && (is_name_begin(source_[at_]) || is_digit(source_[at_]))) ++at_;
      tokens_.push_back({TokenKind::kName, std::string(source_.substr(begin, at_ - begin)), begin});
    } else if (is_digit(c)) {
      number();
    } else if (c == '\'' || c == '"') {
      string_literal(c);
    } else {
      operator_token(open);
    }
  }

  void number() {
    const std::size_t begin = at_;
    std::string digits;
    bool real = false;
    const auto take = [&] {
      while (at_ < source_.size() &&
             (is_digit(source_[at_]) ||
              (source_[at_] == '_' && at_ + 1 < source_.size() && is_digit(source_[at_ + 1])))) {
        if (source_[at_] != '_') digits += source_[at_];
        ++at_;
      }
    };
    take();
    // "1.x" is an attribute of a number, and a number after a dot is an index: a.0.1.
    const bool index = !tokens_.empty() && tokens_.back().kind == TokenKind::kOperator &&
                       tokens_.back().text == ".";
    if (!index && at_ + 1 < source_.size() && source_[at_] == '.' && is_digit(source_[at_ + 1])) {
      real = true;
      digits += source_[at_++];
      take();
    }
    if (!index && at_ < source_.size() && (source_[at_] == 'e' || source_[at_] == 'E')) {
      std::size_t next = at_ + 1;
      if (next < source_.size() && (source_[next] == '+' || source_[next] == '-')) ++next;
      if (next < source_.size() && is_digit(source_[next])) {
        real = true;
        digits.append(source_.substr(at_, next - at_));
        at_ = next;
        take();
      }
    }
    tokens_.push_back({real ? TokenKind::kFloat : TokenKind::kInteger, digits, begin});
  }

  /// Python's unicode-escape: an unknown escape keeps its backslash.
  void string_literal(char quote) {
    const std::size_t begin = at_++;
    std::string out;
    while (true) {
      if (at_ >= source_.size()) fail("the string is not closed", begin);
      const char c = source_[at_++];
      if (c == quote) break;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (at_ >= source_.size()) fail("the string is not closed", begin);
      escape(source_[at_++], out);
    }
    tokens_.push_back({TokenKind::kString, out, begin});
  }

  void escape(char c, std::string& out) {
    static constexpr std::string_view kNames = "ntrabfv\\'\"0";
    static constexpr std::string_view kValues{"\n\t\r\a\b\f\v\\'\"\0", 11};
    if (const std::size_t i = kNames.find(c); i != std::string_view::npos) {
      out += kValues[i];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t length = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      char32_t value = 0;
      for (std::size_t digit = 0; digit < length; ++digit, ++at_) {
        if (at_ >= source_.size() || std::isxdigit(static_cast<unsigned char>(source_[at_])) == 0) {
          fail("the escape wants hexadecimal digits", at_ - 1);
        }
        const char d = source_[at_];
        value = value * 16 + static_cast<char32_t>(is_digit(d) ? d - '0' : (d | 0x20) - 'a' + 10);
      }
      if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        fail("no such character", at_ - 1);
      append_utf8(out, value);
    } else if (c != '\n') {
      (out += '\\') += c;
    }
  }

  void operator_token(std::string& open) {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  "<",  ">", "=", ".", ":", "|", ",", ";"};
    for (const std::string_view op : kOperators) {
      if (source_.substr(at_, op.size()) != op) continue;
      const char c = op[0];
      if (c == '(' || c == '[' || c == '{') open += c;
      if (c == ')' || c == ']' || c == '}') {
        const char partner = c == ')' ? '(' : c == ']' ? '[' : '{';
        if (open.empty() || open.back() != partner) fail(fmt::format("unexpected '{}'", c), at_);
        open.pop_back();
      }
      tokens_.push_back({TokenKind::kOperator, std::string(op), at_});
      at_ += op.size();
      return;
    }
    fail(fmt::format("unexpected character '{}'",
                     source_.substr(at_, decode_utf8(source_, at_).bytes)),
         at_);
  }

  std::string_view source_;
  std::size_t at_ = 0;
  bool line_starts_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace retinue::runtime::jinja
