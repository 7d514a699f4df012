#include "runtime/text/jinja/ast.h"
#include "runtime/text/jinja/eval.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

namespace retinue::runtime::jinja {
namespace {

using Filter = Value (*)(const Value&, const Arguments&);
using Test = bool (*)(const Value&, const Arguments&);

Value method(const Value& v, const char* name, const Arguments& a) {
  return get_attribute(to_text(v), name).function()->call(a);
}

Value length(const Value& v, const Arguments&) {
  if (v.undefined()) return std::int64_t{0};
  if (v.text()) return static_cast<std::int64_t>(count_characters(*v.text()));
  if (v.list()) return static_cast<std::int64_t>(v.list()->size());
  if (v.dict()) return static_cast<std::int64_t>(v.dict()->items.size());
  throw TemplateError(fmt::format("'{}' has no length", v.type_name()));
}

/// "a.b.0" of an item: the `attribute` of join, map and selectattr. `otherwise`, where given,
/// replaces an undefined value on the way.
Value attribute_of(const Value& item, const Value& path, const Value* otherwise = nullptr) {
  if (path.text() == nullptr) return get_item(item, path);
  Value at = item;
  std::string_view rest = *path.text();
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    std::int64_t index = 0;
    const char* end = part.data() + part.size();
    const auto read = std::from_chars(part.data(), end, index);
    const bool number = read.ec == std::errc() && read.ptr == end;
    at = get_item(at, number ? Value(index) : Value(part));
    if (at.undefined() && otherwise != nullptr) at = *otherwise;
    if (dot == std::string_view::npos) return at;
    rest.remove_prefix(dot + 1);
  }
}

Value join(const Value& v, const Arguments& a) {
  const Value* between = a.get(0, "d");
  const Value* attribute = a.get(1, "attribute");
  std::string out;
  bool first = true;
  for (const Value& item : items_of(v)) {
    if (!first && between != nullptr) out += to_text(*between);
    first = false;
    const Value part = attribute != nullptr ? attribute_of(item, *attribute) : item;
    out = within_bounds(std::move(out) + to_text(part));
  }
  return out;
}

Value fallback(const Value& v, const Arguments& a) {
  const Value* boolean = a.get(1, "boolean");
  if (!v.undefined() && !(boolean != nullptr && boolean->truth() && !v.truth())) return v;
  const Value* otherwise = a.get(0, "default_value");
  return otherwise != nullptr ? *otherwise : Value("");
}

Value first(const Value& v, const Arguments&) {
  const List items = items_of(v);
  if (items.empty()) return Undefined{"No first item, sequence was empty."};
  return items.front();
}

Value last(const Value& v, const Arguments&) {
  const List items = items_of(v);
  if (items.empty()) return Undefined{"No last item, sequence was empty."};
  return items.back();
}

Value tojson(const Value& v, const Arguments& a) {
  if (!a.named.empty() && (a.named.size() > 1 || a.named[0].first != "indent")) {
    for (const auto& [name, value] : a.named) {
      const bool as_is = (name == "ensure_ascii" || name == "sort_keys") && !value.truth();
      if (name != "indent" && !as_is) throw TemplateError("tojson takes indent, nothing else");
    }
  }
  const Value* indent = a.get(1, "indent");  // transformers puts ensure_ascii first
  if (!a.positional.empty() && a.positional[0].truth()) {
    throw TemplateError("tojson takes indent, nothing else");
  }
  want_defined(v);
  const std::int64_t width =
      indent == nullptr || indent->none() ? -1 : want_integer(*indent, "tojson");
  return within_bounds(to_json(v, static_cast<int>(std::clamp<std::int64_t>(width, -1, 64))));
}

/// Unlike str.title: words begin behind white space and -([{<, and nowhere else.
Value title(const Value& v, const Arguments&) {
  std::string out = change_case(to_text(v), false);
  bool begins = true;
  for (char& c : out) {
    if (begins) c = change_case(std::string(1, c), true)[0];
    begins = std::string_view("-([{< \t\n\r\f\v").find(c) != std::string_view::npos;
  }
  return out;
}

Value to_int(const Value& v, const Arguments& a) {
  std::int64_t whole = 0;
  if (v.integer(whole)) return whole;
  double real = 0.0;
  if (v.number(real) && std::abs(real) < 9e18) return static_cast<std::int64_t>(real);
  if (v.text()) {
    const std::string_view text = strip(*v.text(), nullptr, true, true);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), whole);
    if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return whole;
  }
  const Value* otherwise = a.get(0, "default");
  return otherwise != nullptr ? *otherwise : Value(std::int64_t{0});
}

Value to_float(const Value& v, const Arguments& a) {
  double real = 0.0;
  if (v.number(real)) return real;
  if (v.text()) {
    const std::string_view text = strip(*v.text(), nullptr, true, true);
    const auto read = std::from_chars(text.data(), text.data() + text.size(), real);
    if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return real;
  }
  const Value* otherwise = a.get(0, "default");
  return otherwise != nullptr ? *otherwise : Value(0.0);
}

Value absolute(const Value& v, const Arguments&) {
  want_defined(v);
  return less(v, std::int64_t{0}) ? apply_unary("-", v) : v;
}

Value reverse(const Value& v, const Arguments&) {
  List items = items_of(v);
  std::reverse(items.begin(), items.end());
  if (!v.text()) return items;
  std::string out;
  for (const Value& item : items) out += *item.text();
  return out;
}

Value sort(const Value& v, const Arguments& a) {
  const Value* descending = a.get(0, "reverse");
  const Value* cased = a.get(1, "case_sensitive");
  const Value* attribute = a.get(2, "attribute");
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items_of(v)) {
    Value key = attribute != nullptr ? attribute_of(item, *attribute) : item;
    if (key.text() && !(cased != nullptr && cased->truth())) key = change_case(*key.text(), false);
    keyed.emplace_back(std::move(key), item);
  }
  const bool down = descending != nullptr && descending->truth();
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& x, const auto& y) {
    return down ? less(y.first, x.first) : less(x.first, y.first);
  });
  List out;
  for (auto& item : keyed) out.push_back(std::move(item.second));
  return out;
}

/// map('upper'), map(attribute='x'), map(attribute='x', default=1).
Value map(const Value& v, const Arguments& a) {
  List out;
  const Value* attribute = a.positional.empty() ? a.get(0, "attribute") : nullptr;
  const Value* otherwise = a.positional.empty() ? a.get(1, "default") : nullptr;
  Arguments rest = a;
  if (!rest.positional.empty()) rest.positional.erase(rest.positional.begin());
  if (attribute == nullptr && a.positional.empty()) throw TemplateError("map wants a filter");
  for (const Value& item : items_of(v)) {
    if (attribute != nullptr) {
      out.push_back(attribute_of(item, *attribute, otherwise));
    } else {
      out.push_back(apply_filter(want_text(a.positional[0], "map"), item, rest));
    }
    charge(1);
    charge_copy(out.back());
  }
  return out;
}

/// select, reject, selectattr, rejectattr. Without a test, truth decides.
Value choose(const Value& v, const Arguments& a, bool by_attribute, bool keep) {
  const std::size_t skip = by_attribute ? 1 : 0;
  if (a.positional.size() < skip) throw TemplateError("selectattr wants an attribute");
  const Value* test = a.get(skip, "");
  Arguments rest;
  for (std::size_t i = skip + 1; i < a.positional.size(); ++i)
    rest.positional.push_back(a.positional[i]);
  List out;
  for (const Value& item : items_of(v)) {
    const Value part = by_attribute ? attribute_of(item, a.positional[0]) : item;
    const bool chosen =
        test != nullptr ? apply_test(want_text(*test, "select"), part, rest) : part.truth();
    if (chosen == keep) out.push_back(item);
  }
  return out;
}

Value items(const Value& v, const Arguments&) {
  if (v.undefined()) return List{};
  if (!v.dict()) throw TemplateError("items wants a mapping");
  return get_attribute(v, "items").function()->call({});
}

Value indent(const Value& v, const Arguments& a) {
  const Value* width = a.get(0, "width");
  const Value* also_first = a.get(1, "first");
  const Value* blank = a.get(2, "blank");
  std::string pad(4, ' ');
  if (width != nullptr) {
    pad = width->text() ? *width->text()
                        : std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(
                                          want_integer(*width, "indent"), 0, 256)),
                                      ' ');
  }
  const std::string text = to_text(v);
  std::string out = also_first != nullptr && also_first->truth() ? pad : "";
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    const bool empty_line = i + 1 < text.size() && text[i + 1] == '\n';
    if (text[i] != '\n' || (empty_line && !(blank != nullptr && blank->truth()))) continue;
    if (out.size() + pad.size() > kMaxBytes) throw TemplateError("the text is longer than 64 MiB");
    out += pad;
  }
  return within_bounds(out);
}

const std::map<std::string_view, Filter>& filters() {
  static const std::map<std::string_view, Filter> kFilters = {
      {"tojson", tojson},
      {"length", length},
      {"count", length},
      {"join", join},
      {"default", fallback},
      {"d", fallback},
      {"first", first},
      {"last", last},
      {"items", items},
      {"int", to_int},
      {"float", to_float},
      {"abs", absolute},
      {"reverse", reverse},
      {"sort", sort},
      {"map", map},
      {"indent", indent},
      {"trim", [](const Value& v, const Arguments& a) { return method(v, "strip", a); }},
      {"upper", [](const Value& v, const Arguments&) { return method(v, "upper", {}); }},
      {"lower", [](const Value& v, const Arguments&) { return method(v, "lower", {}); }},
      {"capitalize", [](const Value& v, const Arguments&) { return method(v, "capitalize", {}); }},
      {"title", title},
      {"replace", [](const Value& v, const Arguments& a) { return method(v, "replace", a); }},
      {"string", [](const Value& v, const Arguments&) -> Value { return to_text(v); }},
      {"safe", [](const Value& v, const Arguments&) -> Value { return to_text(v); }},
      {"list", [](const Value& v, const Arguments&) -> Value { return items_of(v); }},
      {"select", [](const Value& v, const Arguments& a) { return choose(v, a, false, true); }},
      {"reject", [](const Value& v, const Arguments& a) { return choose(v, a, false, false); }},
      {"selectattr", [](const Value& v, const Arguments& a) { return choose(v, a, true, true); }},
      {"rejectattr", [](const Value& v, const Arguments& a) { return choose(v, a, true, false); }},
  };
  return kFilters;
}

const Value& other(const Arguments& a) {
  if (a.positional.empty()) throw TemplateError("the test wants an argument");
  return a.positional[0];
}

bool is_number(const Value& v) { return v.as<std::int64_t>() || v.as<double>() || v.as<bool>(); }

bool is_iterable(const Value& v) {
  return v.undefined() || v.text() || v.list() ||
         (v.dict() && v.dict()->kind != Dict::Kind::kNamespace);
}

std::int64_t modulo(const Value& v, std::int64_t by) {
  return *apply_binary("%", want_integer(v, "the test"), by).as<std::int64_t>();
}

const std::map<std::string_view, Test>& tests() {
  static const std::map<std::string_view, Test> kTests = {
      {"defined", [](const Value& v, const Arguments&) { return !v.undefined(); }},
      {"undefined", [](const Value& v, const Arguments&) { return v.undefined(); }},
      {"none", [](const Value& v, const Arguments&) { return v.none(); }},
      {"string", [](const Value& v, const Arguments&) { return v.text() != nullptr; }},
      {"mapping",
       [](const Value& v, const Arguments&) {
         return v.dict() && v.dict()->kind == Dict::Kind::kPlain;
       }},
      {"sequence",
       [](const Value& v, const Arguments&) {
         return is_iterable(v) && !(v.dict() && v.dict()->kind == Dict::Kind::kLoop);
       }},
      {"iterable", [](const Value& v, const Arguments&) { return is_iterable(v); }},
      {"number", [](const Value& v, const Arguments&) { return is_number(v); }},
      {"integer", [](const Value& v, const Arguments&) { return v.as<std::int64_t>() != nullptr; }},
      {"float", [](const Value& v, const Arguments&) { return v.as<double>() != nullptr; }},
      {"boolean", [](const Value& v, const Arguments&) { return v.as<bool>() != nullptr; }},
      {"true", [](const Value& v, const Arguments&) { return v.as<bool>() && *v.as<bool>(); }},
      {"false", [](const Value& v, const Arguments&) { return v.as<bool>() && !*v.as<bool>(); }},
      {"callable", [](const Value& v, const Arguments&) { return v.function() != nullptr; }},
      {"odd", [](const Value& v, const Arguments&) { return modulo(v, 2) == 1; }},
      {"even", [](const Value& v, const Arguments&) { return modulo(v, 2) == 0; }},
      {"divisibleby",
       [](const Value& v, const Arguments& a) {
         return modulo(v, want_integer(other(a), "divisibleby")) == 0;
       }},
      {"lower",
       [](const Value& v, const Arguments&) {
         return change_case(to_text(v), false) == to_text(v) &&
                change_case(to_text(v), true) != to_text(v);
       }},
      {"upper",
       [](const Value& v, const Arguments&) {
         return change_case(to_text(v), true) == to_text(v) &&
                change_case(to_text(v), false) != to_text(v);
       }},
      {"in", [](const Value& v, const Arguments& a) { return contains(other(a), v); }},
      {"eq", [](const Value& v, const Arguments& a) { return v == other(a); }},
      {"equalto", [](const Value& v, const Arguments& a) { return v == other(a); }},
      {"ne", [](const Value& v, const Arguments& a) { return !(v == other(a)); }},
      {"lt", [](const Value& v, const Arguments& a) { return compare("<", v, other(a)); }},
      {"le", [](const Value& v, const Arguments& a) { return compare("<=", v, other(a)); }},
      {"gt", [](const Value& v, const Arguments& a) { return compare(">", v, other(a)); }},
      {"ge", [](const Value& v, const Arguments& a) { return compare(">=", v, other(a)); }},
  };
  return kTests;
}

}  // namespace

bool is_filter(std::string_view name) { return filters().contains(name); }
bool is_test(std::string_view name) { return tests().contains(name); }

Value apply_filter(std::string_view name, const Value& input, const Arguments& arguments) {
  const auto found = filters().find(name);
  if (found == filters().end()) throw TemplateError(fmt::format("no filter named '{}'", name));
  return found->second(input, arguments);
}

bool apply_test(std::string_view name, const Value& input, const Arguments& arguments) {
  const auto found = tests().find(name);
  if (found == tests().end()) throw TemplateError(fmt::format("no test named '{}'", name));
  return found->second(input, arguments);
}

}  // namespace retinue::runtime::jinja
