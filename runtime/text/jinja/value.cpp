#include "runtime/text/jinja/value.h"

#include "parallel/base/utf8.h"
#include "runtime/text/jinja/work.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace retinue::runtime::jinja {
namespace {

constexpr int kMaxDepth = 200;
/// Of a text that is divided into characters: each becomes a value of its own.
constexpr std::size_t kMaxCharacters = std::size_t{1} << 22U;

/// Python's repr of a float: the shortest digits that read back, an exponent from 1e16 and below
/// 1e-4.
std::string float_text(double v) {
  if (std::isnan(v)) return "nan";
  if (std::isinf(v)) return v > 0 ? "inf" : "-inf";
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, v, std::chars_format::scientific);
  const std::string text(digits, end.ptr);
  const std::size_t e = text.find('e');
  int exponent = 0;
  std::from_chars(text.data() + e + (text[e + 1] == '+' ? 2 : 1), text.data() + text.size(),
                  exponent);
  if (v == 0.0) return std::signbit(v) ? "-0.0" : "0.0";
  if (exponent < -4 || exponent >= 16) return text;  // Python writes "1e-05" and "1e+16" too
  char fixed[64];
  const auto fixed_end = std::to_chars(fixed, fixed + sizeof fixed, v, std::chars_format::fixed);
  std::string out(fixed, fixed_end.ptr);
  if (out.find('.') == std::string::npos) out += ".0";
  return out;
}

std::string quoted_repr(std::string_view text) {
  const bool twice =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = twice ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == quote || c == '\\') {
      (out += '\\') += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + quote;
}

void json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void write_json(const Value& value, int indent, int depth, std::string& out) {
  if (depth > kMaxDepth) throw TemplateError("values are nested too deeply");
  charge(1);
  charge_copy(value);
  if (out.size() > kMaxBytes) throw TemplateError("the text is longer than 64 MiB");
  const auto line = [&](int level) {
    if (indent >= 0) out.append("\n").append(static_cast<std::size_t>(indent * level), ' ');
  };
  const std::string_view comma = indent >= 0 ? "," : ", ";
  if (const auto* text = value.text()) {
    json_string(*text, out);
  } else if (const List* list = value.list()) {
    if (list->empty()) return void(out += "[]");
    out += '[';
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out += comma;
      line(depth + 1);
      write_json((*list)[i], indent, depth + 1, out);
    }
    line(depth);
    out += ']';
  } else if (const Dict* dict = value.dict()) {
    if (dict->items.empty()) return void(out += "{}");
    out += '{';
    for (std::size_t i = 0; i < dict->items.size(); ++i) {
      if (i > 0) out += comma;
      line(depth + 1);
      json_string(dict->items[i].first, out);
      out += ": ";
      write_json(dict->items[i].second, indent, depth + 1, out);
    }
    line(depth);
    out += '}';
  } else if (value.none()) {
    out += "null";
  } else if (const bool* flag = value.as<bool>()) {
    out += *flag ? "true" : "false";
  } else if (const double* real = value.as<double>()) {
    const bool finite = std::isfinite(*real);
    out += finite              ? float_text(*real)
           : std::isnan(*real) ? "NaN"
           : *real > 0         ? "Infinity"
                               : "-Infinity";
  } else if (value.as<std::int64_t>() != nullptr) {
    out += to_text(value);
  } else {
    throw TemplateError(fmt::format("{} cannot be written as JSON", value.type_name()));
  }
}

Value from_json_at(const nlohmann::ordered_json& json, int depth) {
  if (depth > kMaxDepth) throw TemplateError("values are nested too deeply");
  switch (json.type()) {
    case nlohmann::ordered_json::value_t::string:
      return json.get<std::string>();
    case nlohmann::ordered_json::value_t::boolean:
      return json.get<bool>();
    case nlohmann::ordered_json::value_t::number_integer:
      return json.get<std::int64_t>();
    case nlohmann::ordered_json::value_t::number_unsigned: {
      const auto v = json.get<std::uint64_t>();
      if (v > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return json.get<double>();
      }
      return static_cast<std::int64_t>(v);
    }
    case nlohmann::ordered_json::value_t::number_float:
      return json.get<double>();
    case nlohmann::ordered_json::value_t::array: {
      List list;
      for (const auto& item : json) list.push_back(from_json_at(item, depth + 1));
      return list;
    }
    case nlohmann::ordered_json::value_t::object: {
      Dict dict;
      for (const auto& [key, item] : json.items()) {
        dict.items.emplace_back(key, from_json_at(item, depth + 1));
      }
      return dict;
    }
    default:
      return {};
  }
}

std::string repr_at(const Value& value, int depth) {
  if (depth > kMaxDepth) throw TemplateError("values are nested too deeply");
  charge(1);
  charge_copy(value);
  if (const auto* text = value.text()) return quoted_repr(*text);
  std::string out;
  // Each level copies the text of the levels below it.
  const auto add = [&](const std::string& part) {
    charge_bytes(part.size());
    if (out.size() + part.size() > kMaxBytes) throw TemplateError("the text is longer than 64 MiB");
    out += (out.empty() ? "" : ", ") + part;
  };
  if (const List* list = value.list()) {
    for (const Value& item : *list) add(repr_at(item, depth + 1));
    return "[" + out + "]";
  }
  if (const Dict* dict = value.dict()) {
    for (const auto& [key, item] : dict->items)
      add(quoted_repr(key) + ": " + repr_at(item, depth + 1));
    return "{" + out + "}";
  }
  if (value.undefined()) return "Undefined";
  return to_text(value);
}

}  // namespace

Value::Value(List v) : depth_(1) {
  for (const Value& item : v) holds(item);
  v_ = std::make_shared<List>(std::move(v));
}

Value::Value(Dict v) : depth_(1), holds_namespace_(v.kind == Dict::Kind::kNamespace) {
  for (const auto& item : v.items) holds(item.second);
  v_ = std::make_shared<Dict>(std::move(v));
}

void Value::holds(const Value& part) {
  depth_ = std::max(depth_, part.depth_ + 1);
  holds_namespace_ = holds_namespace_ || part.holds_namespace_;
  // A chain of values is also destroyed level by level. (from_json counts from 0.)
  if (depth_ > kMaxDepth + 1) throw TemplateError("values are nested too deeply");
}

const Value* Dict::find(std::string_view key) const {
  charge(items.size() / 16);
  for (const auto& item : items) {
    if (item.first == key) return &item.second;
  }
  return nullptr;
}

void Dict::set(std::string_view key, Value value) {
  charge(items.size() / 16);
  for (auto& item : items) {
    if (item.first == key) {
      item.second = std::move(value);
      return;
    }
  }
  items.emplace_back(key, std::move(value));
}

const Function* Value::function() const {
  return as<Functions>() ? as<Functions>()->get() : nullptr;
}

bool Value::integer(std::int64_t& out) const {
  if (const auto* v = as<std::int64_t>()) return out = *v, true;
  if (const auto* v = as<bool>()) return out = *v ? 1 : 0, true;
  return false;
}

bool Value::number(double& out) const {
  if (const auto* v = as<double>()) return out = *v, true;
  std::int64_t whole = 0;
  if (!integer(whole)) return false;
  out = static_cast<double>(whole);
  return true;
}

bool Value::truth() const {
  if (none() || undefined()) return false;
  double n = 0.0;
  if (number(n)) return n != 0.0;
  if (text()) return !text()->empty();
  if (list()) return !list()->empty();
  if (dict()) return dict()->kind != Dict::Kind::kPlain || !dict()->items.empty();
  return true;
}

std::string_view Value::type_name() const {
  static constexpr std::string_view kNames[] = {"NoneType", "Undefined", "bool", "int",     "float",
                                                "str",      "list",      "dict", "function"};
  return kNames[v_.index()];
}

bool operator==(const Value& a, const Value& b) {
  charge(1);
  std::int64_t i = 0, j = 0;
  if (a.integer(i) && b.integer(j)) return i == j;
  double x = 0.0, y = 0.0;
  if (a.number(x) && b.number(y)) return x == y;
  if (a.text() && b.text()) {
    charge_bytes(std::min(a.text()->size(), b.text()->size()));
    return *a.text() == *b.text();
  }
  if (a.list() && b.list()) return *a.list() == *b.list();
  if (a.dict() && b.dict()) {
    if (a.dict() == b.dict()) return true;
    if (a.dict()->items.size() != b.dict()->items.size()) return false;
    for (const auto& [key, item] : a.dict()->items) {
      const Value* other = b.dict()->find(key);
      if (other == nullptr || !(item == *other)) return false;
    }
    return true;
  }
  if (a.function() || b.function()) return a.function() == b.function();
  return (a.none() && b.none()) || (a.undefined() && b.undefined());
}

const Value* Arguments::get(std::size_t index, std::string_view name) const {
  if (index < positional.size()) return &positional[index];
  for (const auto& item : named) {
    if (item.first == name) return &item.second;
  }
  return nullptr;
}

Value from_json(const nlohmann::ordered_json& json) { return from_json_at(json, 0); }

std::string to_text(const Value& value) {
  if (const auto* text = value.text()) return *text;
  if (value.undefined()) return {};
  if (value.none()) return "None";
  if (const bool* flag = value.as<bool>()) return *flag ? "True" : "False";
  if (const auto* whole = value.as<std::int64_t>()) return std::to_string(*whole);
  if (const double* real = value.as<double>()) return float_text(*real);
  if (const Function* function = value.function()) return "<function " + function->name + ">";
  return repr_at(value, 0);
}

std::string to_repr(const Value& value) { return repr_at(value, 0); }

std::string to_json(const Value& value, int indent) {
  std::string out;
  write_json(value, indent, 0, out);
  return out;
}

bool less(const Value& a, const Value& b) {
  charge(1);
  double x = 0.0, y = 0.0;
  std::int64_t i = 0, j = 0;
  if (a.integer(i) && b.integer(j)) return i < j;
  if (a.number(x) && b.number(y)) return x < y;
  if (a.text() && b.text()) {
    charge_bytes(std::min(a.text()->size(), b.text()->size()));
    return *a.text() < *b.text();  // the order of UTF-8 is that of code points
  }
  if (a.list() && b.list()) {
    const List &l = *a.list(), &r = *b.list();
    for (std::size_t k = 0; k < l.size() && k < r.size(); ++k) {
      if (!(l[k] == r[k])) return less(l[k], r[k]);
    }
    return l.size() < r.size();
  }
  throw TemplateError(fmt::format("'{}' and '{}' have no order", a.type_name(), b.type_name()));
}

List items_of(const Value& value) {
  if (const List* list = value.list()) {
    charge_copy(*list);
    return *list;
  }
  List out;
  if (value.undefined()) return out;
  if (const Dict* dict = value.dict(); dict && dict->kind == Dict::Kind::kPlain) {
    charge(dict->items.size() / 16);
    for (const auto& item : dict->items) out.emplace_back(item.first);
    return out;
  }
  if (const auto* text = value.text()) {
    if (text->size() > kMaxCharacters)
      throw TemplateError("the text is too long to be divided into characters");
    charge(text->size() / 16);
    for (std::size_t at = 0; at < text->size();) {
      const std::size_t bytes = decode_utf8(*text, at).bytes;
      out.emplace_back(text->substr(at, bytes));
      at += bytes;
    }
    return out;
  }
  throw TemplateError(fmt::format("'{}' is not iterable", value.type_name()));
}

}  // namespace retinue::runtime::jinja
