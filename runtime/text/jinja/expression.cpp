#include "runtime/text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace retinue::runtime::jinja {

Token TokenCursor::take() {
  Token token = tokens_[at_];
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenCursor::is_operator(std::string_view text) const {
  return is(TokenKind::kOperator) && now().text == text;
}

bool TokenCursor::is_name(std::string_view text) const {
  return is(TokenKind::kName) && now().text == text;
}

bool TokenCursor::next_is_name(std::string_view text) const {
  return at_ + 1 < tokens_.size() && tokens_[at_ + 1].kind == TokenKind::kName &&
         tokens_[at_ + 1].text == text;
}

bool TokenCursor::skip_operator(std::string_view text) {
  return is_operator(text) && (take(), true);
}

bool TokenCursor::skip_name(std::string_view text) { return is_name(text) && (take(), true); }

void TokenCursor::want_operator(std::string_view text) {
  if (!skip_operator(text)) fail(fmt::format("'{}'", text));
}

std::string TokenCursor::want_name() {
  if (!is(TokenKind::kName)) fail("a name");
  return take().text;
}

void TokenCursor::fail(std::string_view wanted) const {
  static constexpr std::string_view kEnds[] = {"text", "{{", "}}", "{%", "%}"};
  const Token& token = now();
  const auto kind = static_cast<std::size_t>(token.kind);
  const std::string got = token.kind == TokenKind::kEnd ? "the end of the template"
                          : kind < 5                    ? std::string(kEnds[kind])
                                                        : "'" + token.text + "'";
  throw TemplateError(fmt::format("wanted {}, got {}", wanted, got), token.offset);
}

ExprPtr ExpressionParser::make(ExprKind kind, std::size_t offset, std::string name) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->offset = offset;
  node->name = std::move(name);
  return node;
}

ExprPtr ExpressionParser::with(ExprPtr node, ExprPtr child) const {
  if (child) {
    node->depth = std::max(node->depth, child->depth + 1);
    if (node->depth > Expr::kMaxDepth) {
      throw TemplateError("the expression is nested too deeply", node->offset);
    }
  }
  node->children.push_back(std::move(child));
  return node;
}

ExprPtr ExpressionParser::expression(bool ternary) {
  if (++depth_ > Expr::kMaxDepth / 4) t_.fail("an expression that is nested less deeply");
  ExprPtr node = either();
  while (ternary && t_.is_name("if")) {
    const std::size_t offset = t_.take().offset;
    ExprPtr condition = either();
    ExprPtr other = t_.skip_name("else") ? expression() : nullptr;
    node = with(with(with(make(ExprKind::kTernary, offset), std::move(node)), std::move(condition)),
                std::move(other));
  }
  --depth_;
  return node;
}

ExprPtr ExpressionParser::tuple(bool ternary) {
  const std::size_t offset = t_.now().offset;
  ExprPtr first = expression(ternary);
  if (!t_.is_operator(",")) return first;
  ExprPtr list = with(make(ExprKind::kList, offset), std::move(first));
  while (t_.skip_operator(",")) {
    if (t_.is(TokenKind::kBlockEnd) || t_.is(TokenKind::kVariableEnd) || t_.is_operator(")")) break;
    list = with(std::move(list), expression(ternary));
  }
  return list;
}

ExprPtr ExpressionParser::left_to_right(ExprPtr (ExpressionParser::*next)(),
                                        std::initializer_list<std::string_view> operators) {
  ExprPtr left = (this->*next)();
  while (true) {
    const auto found = std::find_if(operators.begin(), operators.end(), [&](std::string_view op) {
      return t_.is_operator(op) || ((op == "and" || op == "or") && t_.is_name(op));
    });
    if (found == operators.end()) return left;
    ExprPtr node = make(ExprKind::kBinary, t_.take().offset, std::string(*found));
    node = with(std::move(node), std::move(left));
    left = with(std::move(node), (this->*next)());
  }
}

ExprPtr ExpressionParser::either() { return left_to_right(&ExpressionParser::both, {"or"}); }
ExprPtr ExpressionParser::both() { return left_to_right(&ExpressionParser::negation, {"and"}); }

ExprPtr ExpressionParser::negation() {
  if (!t_.is_name("not")) return comparison();
  if (++depth_ > Expr::kMaxDepth / 4) t_.fail("an expression that is nested less deeply");
  const std::size_t offset = t_.take().offset;
  ExprPtr node = with(make(ExprKind::kUnary, offset, "not"), negation());
  --depth_;
  return node;
}

ExprPtr ExpressionParser::comparison() {
  ExprPtr left = sum();
  ExprPtr chain;
  while (true) {
    std::string op;
    for (const char* candidate : {"==", "!=", "<", "<=", ">", ">="}) {
      if (t_.is_operator(candidate)) op = candidate;
    }
    if (t_.is_name("in")) op = "in";
    const bool negated = t_.is_name("not") && t_.next_is_name("in");
    if (negated) op = "not in";
    if (op.empty()) return chain ? std::move(chain) : std::move(left);
    const std::size_t offset = t_.take().offset;
    if (negated) t_.take();
    if (!chain) chain = with(make(ExprKind::kCompare, offset), std::move(left));
    chain->operators.push_back(op);
    chain = with(std::move(chain), sum());
  }
}

ExprPtr ExpressionParser::sum() {
  return left_to_right(&ExpressionParser::concatenation, {"+", "-"});
}
ExprPtr ExpressionParser::concatenation() {
  return left_to_right(&ExpressionParser::product, {"~"});
}
ExprPtr ExpressionParser::product() {
  return left_to_right(&ExpressionParser::power, {"*", "/", "//", "%"});
}

ExprPtr ExpressionParser::power() {
  ExprPtr left = unary();
  while (t_.is_operator("**")) {
    ExprPtr node = make(ExprKind::kBinary, t_.take().offset, "**");
    node = with(std::move(node), std::move(left));
    left = with(std::move(node), unary());
  }
  return left;
}

// Filters bind looser than a sign: -1 | abs is (-1) | abs, as in Jinja2.
ExprPtr ExpressionParser::unary(bool with_filters) {
  if (++depth_ > Expr::kMaxDepth / 4) t_.fail("an expression that is nested less deeply");
  ExprPtr node;
  if (t_.is_operator("-") || t_.is_operator("+")) {
    const Token sign = t_.take();
    node = with(make(ExprKind::kUnary, sign.offset, sign.text), unary(false));
  } else {
    node = primary();
  }
  node = postfix(std::move(node));
  if (with_filters) node = filters(std::move(node));
  --depth_;
  return node;
}

ExprPtr ExpressionParser::primary() {
  const Token token = t_.now();
  ExprPtr node = make(ExprKind::kConstant, token.offset);
  switch (token.kind) {
    case TokenKind::kName:
      t_.take();
      if (token.text == "true" || token.text == "True") {
        node->value = true;
      } else if (token.text == "false" || token.text == "False") {
        node->value = false;
      } else if (token.text != "none" && token.text != "None") {
        node->kind = ExprKind::kName;
        node->name = token.text;
      }
      return node;
    case TokenKind::kString: {
      std::string text;
      while (t_.is(TokenKind::kString)) text += t_.take().text;  // neighbours are joined
      node->value = std::move(text);
      return node;
    }
    case TokenKind::kInteger: {
      std::int64_t value = 0;
      const char* end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, value).ec != std::errc())
        t_.fail("a smaller number");
      t_.take();
      node->value = value;
      return node;
    }
    case TokenKind::kFloat: {
      double value = 0.0;
      const char* end = token.text.data() + token.text.size();
      if (std::from_chars(token.text.data(), end, value).ec != std::errc())
        t_.fail("a smaller number");
      t_.take();
      node->value = value;
      return node;
    }
    default:
      break;
  }
  if (t_.skip_operator("(")) {
    node = t_.is_operator(")") ? make(ExprKind::kList, token.offset) : tuple();
    t_.want_operator(")");
    return node;
  }
  if (t_.skip_operator("[")) {
    node->kind = ExprKind::kList;
    while (!t_.is_operator("]")) {
      node = with(std::move(node), expression());
      if (!t_.skip_operator(",")) break;
    }
    t_.want_operator("]");
    return node;
  }
  if (t_.is_operator("{")) return dict();
  t_.fail("an expression");
}

ExprPtr ExpressionParser::dict() {
  ExprPtr node = make(ExprKind::kDict, t_.take().offset);
  while (!t_.is_operator("}")) {
    node = with(std::move(node), expression());
    t_.want_operator(":");
    node = with(std::move(node), expression());
    if (!t_.skip_operator(",")) break;
  }
  t_.want_operator("}");
  return node;
}

ExprPtr ExpressionParser::postfix(ExprPtr node) {
  while (true) {
    if (t_.is_operator(".")) {
      const std::size_t offset = t_.take().offset;
      if (t_.is(TokenKind::kInteger)) {
        ExprPtr index = primary();
        node = with(with(make(ExprKind::kIndex, offset), std::move(node)), std::move(index));
      } else {
        std::string name = t_.want_name();
        node = with(make(ExprKind::kAttribute, offset, std::move(name)), std::move(node));
      }
    } else if (t_.is_operator("[")) {
      node = subscript(std::move(node));
    } else if (t_.is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::subscript(ExprPtr node) {
  const std::size_t offset = t_.take().offset;
  ExprPtr parts[3];
  int colons = 0;
  if (!t_.is_operator(":")) parts[0] = expression();
  while (colons < 2 && t_.skip_operator(":")) {
    ++colons;
    if (!t_.is_operator(":") && !t_.is_operator("]")) parts[colons] = expression();
  }
  t_.want_operator("]");
  node = with(make(colons > 0 ? ExprKind::kSlice : ExprKind::kIndex, offset), std::move(node));
  node = with(std::move(node), std::move(parts[0]));
  if (colons > 0) {
    node = with(std::move(node), std::move(parts[1]));
    node = with(std::move(node), std::move(parts[2]));
  }
  return node;
}

void ExpressionParser::arguments(Expr& node) {
  t_.want_operator("(");
  while (!t_.is_operator(")")) {
    ExprPtr value = expression();
    if (value->kind == ExprKind::kName && t_.skip_operator("=")) {
      std::string name = value->name;
      value = expression();
      node.depth = std::max(node.depth, value->depth + 1);
      node.named.emplace_back(std::move(name), std::move(value));
    } else {
      if (!node.named.empty()) t_.fail("a named argument");
      node.depth = std::max(node.depth, value->depth + 1);
      node.positional.push_back(std::move(value));
    }
    if (!t_.skip_operator(",")) break;
  }
  t_.want_operator(")");
}

ExprPtr ExpressionParser::call(ExprPtr node) {
  ExprPtr out = make(ExprKind::kCall, t_.now().offset);
  arguments(*out);
  return with(std::move(out), std::move(node));
}

ExprPtr ExpressionParser::filters(ExprPtr node) {
  while (true) {
    if (t_.skip_operator("|")) {
      node = filter_call(std::move(node));
    } else if (t_.is_name("is")) {
      node = test(std::move(node));
    } else if (t_.is_operator("(")) {
      node = call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr ExpressionParser::filter_call(ExprPtr node) {
  const std::size_t offset = t_.now().offset;
  ExprPtr out = make(ExprKind::kFilter, offset, t_.want_name());
  if (!is_filter(out->name)) throw TemplateError("no filter named '" + out->name + "'", offset);
  if (t_.is_operator("(")) arguments(*out);
  return with(std::move(out), std::move(node));
}

ExprPtr ExpressionParser::test(ExprPtr node) {
  t_.take();
  const bool negated = t_.skip_name("not");
  const std::size_t offset = t_.now().offset;
  ExprPtr out = make(ExprKind::kTest, offset, t_.want_name());
  if (!is_test(out->name)) throw TemplateError("no test named '" + out->name + "'", offset);
  const bool word = t_.is(TokenKind::kName) && !t_.is_name("else") && !t_.is_name("or") &&
                    !t_.is_name("and") && !t_.is_name("if") && !t_.is_name("is") &&
                    !t_.is_name("in") && !t_.is_name("not");
  if (t_.is_operator("(")) {
    arguments(*out);
  } else if (word || t_.is(TokenKind::kString) || t_.is(TokenKind::kInteger) ||
             t_.is(TokenKind::kFloat) || t_.is_operator("[") || t_.is_operator("{")) {
    ExprPtr argument = postfix(primary());
    out->depth = argument->depth + 1;
    out->positional.push_back(std::move(argument));
  }
  out = with(std::move(out), std::move(node));
  return negated ? with(make(ExprKind::kUnary, offset, "not"), std::move(out)) : std::move(out);
}

}  // namespace retinue::runtime::jinja
