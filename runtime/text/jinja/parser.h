#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/lexer.h"

#include <initializer_list>
#include <string_view>

namespace retinue::runtime::jinja {

/// The tokens of a template and the position of the parser among them.
class TokenCursor {
 public:
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  [[nodiscard]] const Token& now() const { return tokens_[at_]; }
  Token take();
  [[nodiscard]] bool is(TokenKind kind) const { return now().kind == kind; }
  [[nodiscard]] bool is_operator(std::string_view text) const;
  [[nodiscard]] bool is_name(std::string_view text) const;
  [[nodiscard]] bool next_is_name(std::string_view text) const;
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void want_operator(std::string_view text);
  std::string want_name();
  [[noreturn]] void fail(std::string_view wanted) const;

 private:
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

/// Parses expressions, by Jinja's precedence.  Jinja2: parser.Parser.parse_expression
class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& tokens) : t_(tokens) {}

  ExprPtr expression(bool ternary = true);
  /// `a, b` without brackets is a list.
  ExprPtr tuple(bool ternary = true);
  /// One or more `| name(…)` after `node`.
  ExprPtr filters(ExprPtr node);
  ExprPtr filter_call(ExprPtr node);

 private:
  ExprPtr either();
  ExprPtr both();
  ExprPtr negation();
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr concatenation();
  ExprPtr product();
  ExprPtr power();
  ExprPtr unary(bool with_filters = true);
  ExprPtr primary();
  ExprPtr postfix(ExprPtr node);
  ExprPtr subscript(ExprPtr node);
  ExprPtr call(ExprPtr node);
  ExprPtr test(ExprPtr node);
  ExprPtr dict();
  void arguments(Expr& node);
  ExprPtr left_to_right(ExprPtr (ExpressionParser::*next)(),
                        std::initializer_list<std::string_view> operators);
  ExprPtr make(ExprKind kind, std::size_t offset, std::string name = {}) const;
  ExprPtr with(ExprPtr node, ExprPtr child) const;

  TokenCursor& t_;
  int depth_ = 0;
};

}  // namespace retinue::runtime::jinja
