#include "runtime/text/jinja/parser.h"

#include <fmt/format.h>

#include <algorithm>

namespace retinue::runtime::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

/// Parses statements and text up to a tag that the caller names.
class TemplateParser {
 public:
  explicit TemplateParser(std::vector<Token> tokens) : t_(std::move(tokens)), e_(t_) {}

  Body whole() {
    Body body = until({});
    return body;
  }

 private:
  /// Parses up to one of the tags `{% name`, consumes its name and leaves it in ended_by_.
  Body until(Names ends) {
    if (++depth_ > 50) t_.fail("blocks that are nested less deeply");
    Body body;
    while (true) {
      if (t_.is(TokenKind::kEnd)) {
        if (ends.size() != 0) t_.fail(fmt::format("{{% {} %}}", *(ends.end() - 1)));
        break;
      }
      if (t_.is(TokenKind::kText)) {
        Statement s = start(StatementKind::kText);
        s.text = t_.take().text;
        body.push_back(std::move(s));
      } else if (t_.is(TokenKind::kVariableBegin)) {
        Statement s = start(StatementKind::kOutput);
        t_.take();
        s.expr = e_.tuple();
        if (!t_.is(TokenKind::kVariableEnd)) t_.fail("}}");
        t_.take();
        body.push_back(std::move(s));
      } else {
        t_.take();  // {%
        if (!t_.is(TokenKind::kName)) t_.fail("a statement");
        const std::string name = t_.now().text;
        if (std::find(ends.begin(), ends.end(), name) != ends.end()) {
          ended_by_ = t_.take().text;
          break;
        }
        body.push_back(statement(name));
      }
    }
    --depth_;
    return body;
  }

  [[nodiscard]] Statement start(StatementKind kind) const {
    Statement s;
    s.kind = kind;
    s.offset = t_.now().offset;
    return s;
  }

  void block_end() {
    if (!t_.is(TokenKind::kBlockEnd)) t_.fail("%}");
    t_.take();
  }

  Statement statement(const std::string& name) {
    Statement s = start(StatementKind::kGroup);
    if (name == "if") return if_block(std::move(s));
    if (name == "for") return for_block(std::move(s));
    if (name == "set") return set_block(std::move(s));
    if (name == "macro") return macro(std::move(s));
    if (name == "filter") {
      t_.take();
      s.kind = StatementKind::kFilter;
      s.expr = e_.filter_call(nullptr);
      if (t_.skip_operator("|")) s.expr = e_.filters(e_.filter_call(std::move(s.expr)));
      return with_body(std::move(s), "endfilter");
    }
    if (name == "generation") {
      t_.take();
      return with_body(std::move(s), "endgeneration");
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) t_.fail("a statement that is allowed outside of a loop");
      t_.take();
      s.kind = name == "break" ? StatementKind::kBreak : StatementKind::kContinue;
      block_end();
      return s;
    }
    t_.fail("a statement that is known");
  }

  Statement with_body(Statement s, std::string_view end) {
    block_end();
    s.branches.push_back({nullptr, until({end})});
    block_end();
    return s;
  }

  Statement if_block(Statement s) {
    s.kind = StatementKind::kIf;
    t_.take();
    ExprPtr condition = e_.tuple(false);
    while (true) {
      block_end();
      Body body = condition ? until({"elif", "else", "endif"}) : until({"endif"});
      s.branches.push_back({std::move(condition), std::move(body)});
      if (ended_by_ == "endif") break;
      condition = ended_by_ == "elif" ? e_.tuple(false) : nullptr;
    }
    block_end();
    return s;
  }

  std::vector<std::string> targets() {
    std::vector<std::string> names;
    const bool bracket = t_.skip_operator("(");
    do {
      if (!names.empty() && !t_.is(TokenKind::kName)) break;
      names.push_back(t_.want_name());
    } while (t_.skip_operator(","));
    if (bracket) t_.want_operator(")");
    return names;
  }

  Statement for_block(Statement s) {
    s.kind = StatementKind::kFor;
    t_.take();
    s.targets = targets();
    if (!t_.skip_name("in")) t_.fail("'in'");
    s.expr = e_.tuple(false);
    if (t_.skip_name("if")) s.filter = e_.expression();
    if (t_.is_name("recursive")) t_.fail("a loop that is not recursive");
    block_end();
    ++loops_;
    s.branches.push_back({nullptr, until({"else", "endfor"})});
    --loops_;
    if (ended_by_ == "else") {
      block_end();
      s.branches.push_back({nullptr, until({"endfor"})});
    }
    block_end();
    return s;
  }

  Statement set_block(Statement s) {
    t_.take();
    s.targets = targets();
    s.kind = StatementKind::kSet;
    if (t_.skip_operator(".")) {
      if (s.targets.size() != 1) t_.fail("'='");
      s.targets.push_back(t_.want_name());
      s.kind = StatementKind::kSetField;
    }
    if (t_.skip_operator("=")) {
      s.expr = e_.tuple();
      block_end();
      return s;
    }
    if (s.kind == StatementKind::kSetField || s.targets.size() != 1) t_.fail("'='");
    s.kind = StatementKind::kSetBlock;
    if (t_.skip_operator("|")) s.expr = e_.filters(e_.filter_call(nullptr));
    return with_body(std::move(s), "endset");
  }

  Statement macro(Statement s) {
    s.kind = StatementKind::kMacro;
    t_.take();
    s.targets.push_back(t_.want_name());
    t_.want_operator("(");
    while (!t_.is_operator(")")) {
      std::string name = t_.want_name();
      ExprPtr fallback = t_.skip_operator("=") ? e_.expression() : nullptr;
      s.parameters.emplace_back(std::move(name), std::move(fallback));
      if (!t_.skip_operator(",")) break;
    }
    t_.want_operator(")");
    const int loops = std::exchange(loops_, 0);
    s = with_body(std::move(s), "endmacro");
    loops_ = loops;
    return s;
  }

  TokenCursor t_;
  ExpressionParser e_;
  std::string ended_by_;
  int depth_ = 0;
  int loops_ = 0;
};

}  // namespace

Body parse_template(std::string_view source) { return TemplateParser(tokenize(source)).whole(); }

}  // namespace retinue::runtime::jinja
