#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include "runtime/text/jinja/value.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace retinue::runtime::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

enum class ExprKind {
  kConstant,   // value
  kName,       // name
  kList,       // children
  kDict,       // children: key, value, key, value, …
  kAttribute,  // children[0].name
  kIndex,      // children[0][children[1]]
  kSlice,      // children[0][children[1] : children[2] : children[3]], null where left out
  kCall,       // children[0](arguments)
  kFilter,     // children[0] | name(arguments)
  kTest,       // children[0] is name(arguments)
  kUnary,      // name children[0]: "-", "+", "not"
  kBinary,     // children[0] name children[1]: arithmetic, "~", "and", "or"
  kCompare,    // children joined by operators, Python's chains
  kTernary,    // children[0] if children[1] else children[2], which may be null
};

/// One node of an expression. The parser limits the depth of trees, so recursion over them is safe.
struct Expr {
  static constexpr int kMaxDepth = 200;

  ExprKind kind = ExprKind::kConstant;
  std::size_t offset = 0;
  int depth = 1;
  std::string name;
  Value value;
  std::vector<ExprPtr> children;
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  std::vector<std::string> operators;
};

struct Statement;
using Body = std::vector<Statement>;

enum class StatementKind {
  kText,      // text
  kOutput,    // expr
  kIf,        // branches in order; a null condition is else
  kFor,       // targets in expr [if filter]; branches[0] the body, branches[1] the else
  kSet,       // targets = expr
  kSetField,  // targets[0].targets[1] = expr
  kSetBlock,  // targets[0] = text of branches[0]
  kMacro,     // targets[0](parameters): branches[0]
  kFilter,    // branches[0] through expr, whose innermost child is null
  kGroup,     // branches[0] as it is: {% generation %}
  kBreak,
  kContinue,
};

struct Branch {
  ExprPtr condition;
  Body body;
};

struct Statement {
  StatementKind kind = StatementKind::kText;
  std::size_t offset = 0;
  std::string text;
  ExprPtr expr;
  ExprPtr filter;
  std::vector<std::string> targets;
  std::vector<std::pair<std::string, ExprPtr>> parameters;  // with their defaults, null for none
  std::vector<Branch> branches;
};

/// Parses a template with normalised newlines.  Jinja2: parser.Parser, without inheritance,
/// includes, imports, call blocks and recursive loops.
/// Throws: TemplateError at the offending token.
Body parse_template(std::string_view source);

/// Whether the evaluator has a filter or test of this name. An unknown name is refused at parsing.
bool is_filter(std::string_view name);
bool is_test(std::string_view name);

}  // namespace retinue::runtime::jinja
