#pragma once

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
  std::string text;        ///< what it stands for: escapes resolved, white space control applied
  std::size_t offset = 0;  ///< in the template's text
};

/// The template's text as the lexer counts it: newlines are "\n", one at the end is dropped.
std::string normalize_newlines(std::string_view source);

/// Cuts a template into text and the tokens of its tags, with trim_blocks and lstrip_blocks as
/// transformers sets them. Comments are gone, raw blocks are text.  Jinja2: lexer.Lexer
///   source   as normalize_newlines gives it
/// Throws: TemplateError for what is not closed or not a token.
std::vector<Token> tokenize(std::string_view source);

}  // namespace retinue::runtime::jinja
