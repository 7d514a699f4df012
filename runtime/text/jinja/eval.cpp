#include "runtime/text/jinja/eval.h"

#include "runtime/text/jinja/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace retinue::runtime::jinja {
namespace {

constexpr int kMaxCalls = 40;
constexpr int kMaxDepth = 600;  // of nested statements and expressions

/// Names that a block sets. Those of a loop end with each iteration.
struct Frame {
  Frame* outer = nullptr;
  std::vector<std::pair<std::string, Value>> names;
  const List* items = nullptr;  // the items of the loop, in an iteration
  std::size_t index = 0;

  void set(const std::string& name, Value value) {
    for (auto& entry : names) {
      if (entry.first == name) return void(entry.second = std::move(value));
    }
    names.emplace_back(name, std::move(value));
  }
};

enum class Flow { kOn, kBreak, kContinue };

class Evaluator {
 public:
  explicit Evaluator(Dict globals) : globals_(std::move(globals)) {}

  std::string run(const Body& body) {
    const WorkMeter meter;
    std::string out;
    execute(body, root_, out);
    return out;
  }

 private:
  void step(std::size_t offset) {
    charge(1);
    if (depth_ > kMaxDepth) throw TemplateError("the template is nested too deeply", offset);
  }

  struct Deeper {
    explicit Deeper(int& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    int& depth_;
  };

  Flow execute(const Body& body, Frame& frame, std::string& out) {
    const Deeper deeper(depth_);
    for (const Statement& s : body) {
      try {
        step(s.offset);
        const Flow flow = execute(s, frame, out);
        if (flow != Flow::kOn) return flow;
        if (out.size() > std::size_t{64} << 20U)
          throw TemplateError("the text is longer than 64 MiB");
      } catch (const TemplateError& error) {
        if (error.offset() != TemplateError::kNowhere) throw;
        throw TemplateError(error.what(), s.offset);
      }
    }
    return Flow::kOn;
  }

  Flow execute(const Statement& s, Frame& frame, std::string& out) {
    switch (s.kind) {
      case StatementKind::kText:
        out += s.text;
        return Flow::kOn;
      case StatementKind::kOutput:
        out += to_text(value(*s.expr, frame));
        return Flow::kOn;
      case StatementKind::kIf:
        for (const Branch& branch : s.branches) {
          if (!branch.condition || value(*branch.condition, frame).truth()) {
            return execute(branch.body, frame, out);
          }
        }
        return Flow::kOn;
      case StatementKind::kFor:
        loop(s, frame, out);
        return Flow::kOn;
      case StatementKind::kSet:
        assign(s.targets, value(*s.expr, frame), frame);
        return Flow::kOn;
      case StatementKind::kSetField:
        set_field(s, frame);
        return Flow::kOn;
      case StatementKind::kSetBlock: {
        Value text = captured(s.branches[0].body, frame);
        if (s.expr) text = value(*s.expr, frame, &text);
        frame.set(s.targets[0], std::move(text));
        return Flow::kOn;
      }
      case StatementKind::kFilter: {
        const Value text = captured(s.branches[0].body, frame);
        out += to_text(value(*s.expr, frame, &text));
        return Flow::kOn;
      }
      case StatementKind::kMacro:
        frame.set(s.targets[0], macro(s));
        return Flow::kOn;
      case StatementKind::kGroup:
        return execute(s.branches[0].body, frame, out);
      case StatementKind::kBreak:
        return Flow::kBreak;
      case StatementKind::kContinue:
        return Flow::kContinue;
    }
    return Flow::kOn;
  }

  /// The text that a block writes. Names that it sets end with it.
  Value captured(const Body& body, Frame& frame) {
    Frame inner{&frame, {}, nullptr, 0};
    std::string text;
    execute(body, inner, text);
    return text;
  }

  static void assign(const std::vector<std::string>& targets, Value value, Frame& frame) {
    if (targets.size() == 1) return frame.set(targets[0], std::move(value));
    want_defined(value);
    const List parts = items_of(value);
    if (parts.size() != targets.size()) {
      throw TemplateError(fmt::format("{} names for {} values", targets.size(), parts.size()));
    }
    for (std::size_t i = 0; i < parts.size(); ++i) frame.set(targets[i], parts[i]);
  }

  void set_field(const Statement& s, Frame& frame) {
    const Value object = lookup(s.targets[0], frame);
    Dict* dict = object.dict();
    if (dict == nullptr || dict->kind != Dict::Kind::kNamespace) {
      throw TemplateError("only fields of a namespace can be set");
    }
    Value to = value(*s.expr, frame);
    // It could hold itself; and its depth, which bounds recursion, would not be known.
    if (to.holds_namespace()) throw TemplateError("a namespace cannot be set to hold a namespace");
    dict->set(s.targets[1], std::move(to));
  }

  void loop(const Statement& s, Frame& frame, std::string& out) {
    List items = items_of(value(*s.expr, frame));
    if (s.filter) {
      List kept;
      for (Value& item : items) {
        Frame inner{&frame, {}, nullptr, 0};
        assign(s.targets, item, inner);
        if (value(*s.filter, inner).truth()) kept.push_back(std::move(item));
      }
      items = std::move(kept);
    }
    if (items.empty() && s.branches.size() > 1) {
      Frame inner{&frame, {}, nullptr, 0};
      execute(s.branches[1].body, inner, out);
      return;
    }
    for (std::size_t i = 0; i < items.size(); ++i) {
      step(s.offset);
      Frame inner{&frame, {}, &items, i};
      assign(s.targets, items[i], inner);
      if (execute(s.branches[0].body, inner, out) == Flow::kBreak) break;
    }
  }

  static Value loop_object(const List& items, std::size_t i) {
    const auto size = static_cast<std::int64_t>(items.size()), index = static_cast<std::int64_t>(i);
    if (i > 0) charge_copy(items[i - 1]);
    if (i + 1 < items.size()) charge_copy(items[i + 1]);
    Dict loop;
    loop.kind = Dict::Kind::kLoop;
    loop.items = {{"index", index + 1},           {"index0", index}, {"first", index == 0},
                  {"last", index + 1 == size},    {"length", size},  {"revindex", size - index},
                  {"revindex0", size - index - 1}};
    loop.items.emplace_back("previtem",
                            i > 0 ? items[i - 1] : Value(Undefined{"there is no previous item"}));
    loop.items.emplace_back("nextitem", i + 1 < items.size()
                                            ? items[i + 1]
                                            : Value(Undefined{"there is no next item"}));
    return loop;
  }

  // A macro sees the template's names and its own, not those of its caller.
  Value macro(const Statement& s) {
    return std::make_shared<const Function>(Function{
        s.targets[0], [this, &s](const Arguments& a) -> Value {
          if (a.positional.size() > s.parameters.size()) throw TemplateError("too many arguments");
          for (const auto& named : a.named) {
            const bool known = std::any_of(s.parameters.begin(), s.parameters.end(),
                                           [&](const auto& p) { return p.first == named.first; });
            if (!known) throw TemplateError(fmt::format("no parameter named '{}'", named.first));
          }
          if (calls_ >= kMaxCalls) throw TemplateError("macros call each other too deeply");
          ++calls_;
          Frame frame{&root_, {}, nullptr, 0};
          for (std::size_t i = 0; i < s.parameters.size(); ++i) {
            const auto& [name, otherwise] = s.parameters[i];
            const Value* given = a.get(i, name);
            frame.set(name,
                      given != nullptr ? *given
                      : otherwise
                          ? value(*otherwise, frame)
                          : Value(Undefined{fmt::format("parameter '{}' was not provided", name)}));
          }
          std::string out;
          execute(s.branches[0].body, frame, out);
          --calls_;
          return out;
        }});
  }

  Value lookup(const std::string& name, Frame& frame) const {
    for (const Frame* f = &frame; f != nullptr; f = f->outer) {
      for (const auto& entry : f->names) {
        if (entry.first == name) return entry.second;
      }
      // Made on demand: most iterations do not use `loop`.
      if (f->items != nullptr && name == "loop") return loop_object(*f->items, f->index);
    }
    if (const Value* found = globals_.find(name)) return *found;
    return Undefined{fmt::format("'{}' is undefined", name)};
  }

  /// `input` is the text of a filter block, which replaces its missing innermost expression.
  Value value(const Expr& e, Frame& frame, const Value* input = nullptr) {
    const Deeper deeper(depth_);
    try {
      step(e.offset);
      Value result = evaluate_at(e, frame, input);
      // Long values count as the steps that it takes to make them.
      if (result.list() != nullptr) charge(result.list()->size() / 16);
      charge_copy(result);
      return result;
    } catch (const TemplateError& error) {
      if (error.offset() != TemplateError::kNowhere) throw;
      throw TemplateError(error.what(), e.offset);
    }
  }

  Arguments arguments(const Expr& e, Frame& frame) {
    Arguments out;
    for (const ExprPtr& a : e.positional) out.positional.push_back(value(*a, frame));
    for (const auto& [name, a] : e.named) out.named.emplace_back(name, value(*a, frame));
    return out;
  }

  Value evaluate_at(const Expr& e, Frame& frame, const Value* input) {
    const auto child = [&](std::size_t i) -> Value {
      if (i < e.children.size() && e.children[i]) return value(*e.children[i], frame, input);
      return i == 0 && input != nullptr ? *input : Value();
    };
    switch (e.kind) {
      case ExprKind::kConstant:
        return e.value;
      case ExprKind::kName:
        return lookup(e.name, frame);
      case ExprKind::kList: {
        List list;
        for (std::size_t i = 0; i < e.children.size(); ++i) list.push_back(child(i));
        return list;
      }
      case ExprKind::kDict: {
        Dict dict;
        for (std::size_t i = 0; i < e.children.size(); i += 2) {
          const Value key = child(i);
          dict.set(want_text(key, "a key"), child(i + 1));
        }
        return dict;
      }
      case ExprKind::kAttribute:
        return get_attribute(child(0), e.name);
      case ExprKind::kIndex:
        return get_item(child(0), child(1));
      case ExprKind::kSlice:
        return get_slice(child(0), child(1), child(2), child(3));
      case ExprKind::kCall:
        return call(e, frame, child(0));
      case ExprKind::kFilter:
        return apply_filter(e.name, child(0), arguments(e, frame));
      case ExprKind::kTest:
        return apply_test(e.name, child(0), arguments(e, frame));
      case ExprKind::kUnary:
        return apply_unary(e.name, child(0));
      case ExprKind::kBinary: {
        Value left = child(0);
        if (e.name == "and") return left.truth() ? child(1) : std::move(left);
        if (e.name == "or") return left.truth() ? std::move(left) : child(1);
        return apply_binary(e.name, left, child(1));
      }
      case ExprKind::kCompare: {
        Value left = child(0);
        for (std::size_t i = 0; i < e.operators.size(); ++i) {
          Value right = child(i + 1);
          if (!compare(e.operators[i], left, right)) return false;
          left = std::move(right);
        }
        return true;
      }
      case ExprKind::kTernary:
        if (child(1).truth()) return child(0);
        if (!e.children[2]) return Undefined{"the condition is false and there is no else"};
        return child(2);
    }
    return {};
  }

  Value call(const Expr& e, Frame& frame, const Value& callee) {
    want_defined(callee);
    const Function* function = callee.function();
    if (function == nullptr)
      throw TemplateError(fmt::format("'{}' is not callable", callee.type_name()));
    return function->call(arguments(e, frame));
  }

  Dict globals_;
  Frame root_;
  int calls_ = 0;
  int depth_ = 0;
};

Value range(const Arguments& a) {
  if (a.positional.empty() || a.positional.size() > 3)
    throw TemplateError("range wants one to three numbers");
  const bool one = a.positional.size() == 1;
  std::int64_t first = one ? 0 : want_integer(a.positional[0], "range");
  const std::int64_t end = want_integer(a.positional[one ? 0 : 1], "range");
  const std::int64_t by = a.positional.size() > 2 ? want_integer(a.positional[2], "range") : 1;
  if (by == 0) throw TemplateError("the step of a range is zero");
  List out;
  while (by > 0 ? first < end : first > end) {
    if (out.size() == 100'000)
      throw TemplateError("the range is longer than 100000");  // as in Jinja2's sandbox
    out.emplace_back(first);
    if (__builtin_add_overflow(first, by, &first)) break;
  }
  return out;
}

Value make_dict(const Arguments& a, Dict::Kind kind) {
  Dict dict;
  for (const Value& from : a.positional) {
    if (!from.dict()) throw TemplateError("a namespace is made of a mapping and names");
    dict.items = from.dict()->items;
  }
  for (const auto& [name, value] : a.named) dict.set(name, value);
  dict.kind = kind;
  return dict;
}

}  // namespace

Dict standard_globals() {
  const auto function = [](const char* name, Value (*call)(const Arguments&)) {
    return std::pair<std::string, Value>(name,
                                         std::make_shared<const Function>(Function{name, call}));
  };
  Dict globals;
  globals.items = {
      function("range", range),
      function("namespace",
               [](const Arguments& a) { return make_dict(a, Dict::Kind::kNamespace); }),
      function("dict", [](const Arguments& a) { return make_dict(a, Dict::Kind::kPlain); }),
      function("raise_exception",
               [](const Arguments& a) -> Value {
                 throw TemplateError(a.positional.empty() ? "raise_exception"
                                                          : to_text(a.positional[0]));
               }),
  };
  return globals;
}

std::string evaluate(const Body& body, Dict globals) {
  return Evaluator(std::move(globals)).run(body);
}

}  // namespace retinue::runtime::jinja
