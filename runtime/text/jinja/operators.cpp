#include "runtime/text/jinja/eval.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace retinue::runtime::jinja {
namespace {

[[noreturn]] void unsupported(std::string_view op, const Value& a, const Value& b) {
  throw TemplateError(
      fmt::format("'{}' does not take '{}' and '{}'", op, a.type_name(), b.type_name()));
}

std::int64_t checked(bool overflow, std::int64_t result) {
  if (overflow) throw TemplateError("the number is too large");
  return result;
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == -1) {
    std::int64_t negated = 0;
    const bool overflow = __builtin_sub_overflow(std::int64_t{0}, a, &negated);
    return checked(overflow, negated);
  }
  const std::int64_t q = a / b;
  return (a % b != 0 && (a % b < 0) != (b < 0)) ? q - 1 : q;
}

Value power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  std::int64_t result = 1;
  if (base == 0 || base == 1) return exponent == 0 ? std::int64_t{1} : base;
  if (base == -1) return exponent % 2 == 0 ? std::int64_t{1} : std::int64_t{-1};
  for (; exponent > 0; --exponent) {  // overflows within 63 rounds
    const bool overflow = __builtin_mul_overflow(result, base, &result);
    checked(overflow, result);
  }
  return result;
}

Value integer_operation(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t r = 0;
  if (op == "+") {
    const bool overflow = __builtin_add_overflow(a, b, &r);
    return checked(overflow, r);
  }
  if (op == "-") {
    const bool overflow = __builtin_sub_overflow(a, b, &r);
    return checked(overflow, r);
  }
  if (op == "*") {
    const bool overflow = __builtin_mul_overflow(a, b, &r);
    return checked(overflow, r);
  }
  if (op == "**") return power(a, b);
  if (b == 0) throw TemplateError("division by zero");
  if (op == "/") return static_cast<double>(a) / static_cast<double>(b);
  if (op == "//") return floor_divide(a, b);
  // The quotient times b may overflow where the remainder does not.
  const std::int64_t rest = b == -1 ? 0 : a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

Value real_operation(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") return std::pow(a, b);
  if (b == 0.0) throw TemplateError("division by zero");
  if (op == "/") return a / b;
  if (op == "//") return std::floor(a / b);
  const double rest = std::fmod(a, b);
  return rest != 0.0 && (rest < 0.0) != (b < 0.0) ? rest + b : rest;
}

Value repeat(const Value& value, std::int64_t times) {
  const std::size_t size = value.text() ? value.text()->size() : value.list()->size();
  const std::size_t limit = value.text() ? kMaxBytes : kMaxItems;
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, times));
  if (size != 0 && count > limit / size) throw TemplateError("the repetition is too long");
  if (value.text()) {
    std::string out;
    for (std::size_t i = 0; size != 0 && i < count; ++i) out += *value.text();
    return out;
  }
  List out;
  for (std::size_t i = 0; size != 0 && i < count; ++i) {
    charge_copy(*value.list());
    out.insert(out.end(), value.list()->begin(), value.list()->end());
  }
  return out;
}

}  // namespace

std::string within_bounds(std::string text) {
  if (text.size() > kMaxBytes) throw TemplateError("the text is longer than 64 MiB");
  charge_bytes(text.size());
  return text;
}

void want_defined(const Value& value) {
  if (const auto* missing = value.as<Undefined>()) throw TemplateError(missing->name);
}

const std::string& want_text(const Value& value, std::string_view what) {
  want_defined(value);
  if (!value.text()) {
    throw TemplateError(fmt::format("{} wants a str, got '{}'", what, value.type_name()));
  }
  return *value.text();
}

std::int64_t want_integer(const Value& value, std::string_view what) {
  want_defined(value);
  std::int64_t out = 0;
  if (!value.integer(out)) {
    throw TemplateError(fmt::format("{} wants an int, got '{}'", what, value.type_name()));
  }
  return out;
}

Value apply_binary(std::string_view op, const Value& a, const Value& b) {
  if (op == "~") return within_bounds(to_text(a) + to_text(b));
  want_defined(a);
  want_defined(b);
  std::int64_t i = 0, j = 0;
  if (a.integer(i) && b.integer(j)) return integer_operation(op, i, j);
  double x = 0.0, y = 0.0;
  if (a.number(x) && b.number(y)) return real_operation(op, x, y);
  if (op == "+" && a.text() && b.text()) return within_bounds(*a.text() + *b.text());
  if (op == "+" && a.list() && b.list()) {
    List out = *a.list();
    if (out.size() + b.list()->size() > kMaxItems) throw TemplateError("the list is too long");
    charge_copy(out);
    charge_copy(*b.list());
    out.insert(out.end(), b.list()->begin(), b.list()->end());
    return out;
  }
  if (op == "*" && (a.text() || a.list()) && b.integer(j)) return repeat(a, j);
  if (op == "*" && (b.text() || b.list()) && a.integer(i)) return repeat(b, i);
  unsupported(op, a, b);
}

Value apply_unary(std::string_view op, const Value& a) {
  if (op == "not") return !a.truth();
  want_defined(a);
  std::int64_t whole = 0;
  double real = 0.0;
  if (a.integer(whole)) {
    if (op == "+") return whole;
    return integer_operation("-", 0, whole);
  }
  if (!a.number(real)) throw TemplateError(fmt::format("'{}' has no sign", a.type_name()));
  return op == "-" ? -real : real;
}

bool contains(const Value& container, const Value& item) {
  if (container.text())
    return find_charged(*container.text(), want_text(item, "'in'")) != std::string::npos;
  if (const Dict* dict = container.dict())
    return item.text() && dict->find(*item.text()) != nullptr;
  const List items = items_of(container);
  return std::find(items.begin(), items.end(), item) != items.end();
}

bool compare(std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return a == b;
  if (op == "!=") return !(a == b);
  if (op == "in") return contains(b, a);
  if (op == "not in") return !contains(b, a);
  want_defined(a);
  want_defined(b);
  if (op == "<") return less(a, b);
  if (op == ">") return less(b, a);
  return (op == "<=" ? less(a, b) : less(b, a)) || a == b;
}

Value get_item(const Value& object, const Value& key) {
  want_defined(object);
  std::int64_t index = 0;
  if ((object.list() || object.text()) && key.integer(index)) {
    const List items = object.list() ? List{} : items_of(object);
    const List& list = object.list() ? *object.list() : items;
    const auto size = static_cast<std::int64_t>(list.size());
    if (index < 0) index += size;
    if (index >= 0 && index < size) return list[static_cast<std::size_t>(index)];
    return Undefined{
        fmt::format("'{} object' has no element {}", object.type_name(), to_text(key))};
  }
  if (key.text()) {
    if (const Dict* dict = object.dict()) {
      if (const Value* found = dict->find(*key.text())) return *found;
    }
    return get_attribute(object, *key.text());
  }
  return Undefined{fmt::format("'{} object' has no element {}", object.type_name(), to_repr(key))};
}

Value get_slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  want_defined(object);
  if (!object.text() && !object.list()) {
    throw TemplateError(fmt::format("'{}' cannot be sliced", object.type_name()));
  }
  const List items = items_of(object);
  const auto size = static_cast<std::int64_t>(items.size());
  const std::int64_t by = step.none() ? 1 : want_integer(step, "a slice");
  if (by == 0) throw TemplateError("the step of a slice is zero");
  // As Python's slice.indices.
  const auto place = [&](const Value& v, std::int64_t otherwise) {
    if (v.none()) return otherwise;
    std::int64_t at = want_integer(v, "a slice");
    if (at < 0) at = std::max<std::int64_t>(at + size, by < 0 ? -1 : 0);
    return std::min(at, by < 0 ? size - 1 : size);
  };
  const std::int64_t first = place(start, by < 0 ? size - 1 : 0);
  const std::int64_t end = place(stop, by < 0 ? -1 : size);
  List chosen;
  for (std::int64_t i = first; by > 0 ? i < end : i > end;) {
    chosen.push_back(items[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  if (object.list()) return chosen;
  std::string text;
  for (const Value& c : chosen) text += *c.text();
  return text;
}

}  // namespace retinue::runtime::jinja
