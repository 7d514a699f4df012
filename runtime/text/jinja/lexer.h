#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime::jinja {

enum class TokenKind {
  kText,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;        ///< with escapes resolved and white space control applied
  std::size_t offset = 0;  ///< in the template's text
};

/// The text whose offsets tokens have: newlines are "\n", one at the end is dropped.
std::string normalize_newlines(std::string_view source);

/// Splits a template into text and the tokens of its tags, with trim_blocks and lstrip_blocks as in
/// transformers. Comments are dropped, raw blocks become text.  Jinja2: lexer.Lexer
///   source  from normalize_newlines()
/// Throws: TemplateError for a tag that is not closed, or a character that begins no token.
std::vector<Token> tokenize(std::string_view source);

}  // namespace retinue::runtime::jinja
