#include "parallel/base/utf8.h"
#include "runtime/text/jinja/eval.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace retinue::runtime::jinja {
namespace {

/// Adds a part of a text to a list.
void add_part(List& parts, std::string_view part) {
  if (parts.size() >= kMaxItems) throw TemplateError("the list is too long");
  parts.emplace_back(std::string(part));
}

/// Python's str.split or rsplit. A negative `limit` is no limit.
List split(const std::string& text, const std::string* separator, std::int64_t limit) {
  List out;
  std::string_view rest = text;
  if (separator == nullptr) {
    rest = strip(rest, nullptr, true, false);
    while (!rest.empty()) {
      if (limit >= 0 && static_cast<std::int64_t>(out.size()) == limit) {
        add_part(out, rest);
        return out;
      }
      std::size_t end = 0;
      while (end < rest.size() && !is_python_space(decode_utf8(rest, end).code_point)) {
        end += decode_utf8(rest, end).bytes;
      }
      add_part(out, rest.substr(0, end));
      rest = strip(rest.substr(end), nullptr, true, false);
    }
    return out;
  }
  if (separator->empty()) throw TemplateError("split wants a separator that is not empty");
  while (limit < 0 || static_cast<std::int64_t>(out.size()) < limit) {
    const std::size_t at = find_charged(rest, *separator);
    if (at == std::string_view::npos) break;
    add_part(out, rest.substr(0, at));
    rest.remove_prefix(at + separator->size());
  }
  out.emplace_back(std::string(rest));
  return out;
}

/// From the right: split of everything reversed, so that the search is linear here, too.
List rsplit(const std::string& text, const std::string& separator, std::int64_t limit) {
  const auto reversed = [](const std::string& of) { return std::string(of.rbegin(), of.rend()); };
  const std::string backwards = reversed(separator);
  List out = split(reversed(text), &backwards, limit);
  std::reverse(out.begin(), out.end());
  for (Value& part : out) part = reversed(*part.text());
  return out;
}

std::string replace_all(const std::string& text, const std::string& old, const std::string& to,
                        std::int64_t limit) {
  if (old.empty()) throw TemplateError("replace wants a text that is not empty");
  std::string out;
  std::size_t from = 0;
  for (; limit != 0; --limit) {
    const std::size_t at = find_charged(text, old, from);
    if (at == std::string::npos) break;
    if (to.size() > kMaxBytes - std::min(kMaxBytes, out.size()))
      throw TemplateError("the text is longer than 64 MiB");
    out.append(text, from, at - from).append(to);
    from = at + old.size();
  }
  return within_bounds(out.append(text, from));
}

bool begins_or_ends(const std::string& text, const Value& with, bool begins) {
  if (const List* list = with.list()) {
    return std::any_of(list->begin(), list->end(),
                       [&](const Value& v) { return begins_or_ends(text, v, begins); });
  }
  const std::string& part = want_text(with, begins ? "startswith" : "endswith");
  return begins ? text.starts_with(part) : text.ends_with(part);
}

std::string capitalize(const std::string& text) {
  std::string out = change_case(text, false);
  if (!out.empty()) out[0] = change_case(out.substr(0, 1), true)[0];
  return out;
}

std::string title(const std::string& text) {
  std::string out = change_case(text, false);
  bool inside = false;
  for (char& c : out) {
    if (!inside && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    inside =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || static_cast<unsigned char>(c) >= 0x80;
  }
  return out;
}

const Value& needed(const Arguments& a, std::size_t index, const char* name) {
  const Value* value = a.get(index, name);
  if (value == nullptr) throw TemplateError(fmt::format("the argument '{}' is missing", name));
  return *value;
}

/// The text argument of strip() and split(), which may be left out or none.
const std::string* optional_text(const Arguments& a, const char* name) {
  const Value* value = a.get(0, name);
  return value == nullptr || value->none() ? nullptr : &want_text(*value, name);
}

using Method = Value (*)(const Value&, const Arguments&);

Value strip_method(const Value& v, const Arguments& a, bool left, bool right) {
  const std::string* set = optional_text(a, "chars");
  charge_product(v.text()->size(), set == nullptr ? 0 : set->size());
  return std::string(strip(*v.text(), set, left, right));
}

std::int64_t limit_of(const Arguments& a, std::size_t index, const char* name) {
  const Value* limit = a.get(index, name);
  return limit == nullptr ? -1 : want_integer(*limit, name);
}

Value split_lines(const Value& v, const Arguments&) {
  List out;
  std::string_view rest = *v.text();
  while (!rest.empty()) {
    const std::size_t at = rest.find_first_of("\r\n");
    add_part(out, rest.substr(0, at));
    if (at == std::string_view::npos) break;
    rest.remove_prefix(at + (rest.substr(at, 2) == "\r\n" ? 2 : 1));
  }
  return out;
}

Value count_text(const Value& v, const Arguments& a) {
  const std::string& part = want_text(needed(a, 0, "sub"), "count");
  if (part.empty()) return static_cast<std::int64_t>(count_characters(*v.text()) + 1);
  std::int64_t count = 0;
  for (std::size_t at = find_charged(*v.text(), part); at != std::string::npos;
       at = find_charged(*v.text(), part, at + part.size()))
    ++count;
  return count;
}

Value find_text(const Value& v, const Arguments& a) {
  const std::size_t at = find_charged(*v.text(), want_text(needed(a, 0, "sub"), "find"));
  if (at == std::string::npos) return std::int64_t{-1};
  return static_cast<std::int64_t>(count_characters(std::string_view(*v.text()).substr(0, at)));
}

Value join_text(const Value& v, const Arguments& a) {
  std::string out;
  bool first = true;
  for (const Value& item : items_of(needed(a, 0, "iterable"))) {
    if (!first) out += *v.text();
    first = false;
    out = within_bounds(std::move(out) + want_text(item, "join"));
  }
  return out;
}

const std::map<std::string_view, Method>& text_methods() {
  static const std::map<std::string_view, Method> kMethods = {
      {"strip", [](const Value& v, const Arguments& a) { return strip_method(v, a, true, true); }},
      {"lstrip",
       [](const Value& v, const Arguments& a) { return strip_method(v, a, true, false); }},
      {"rstrip",
       [](const Value& v, const Arguments& a) { return strip_method(v, a, false, true); }},
      {"split",
       [](const Value& v, const Arguments& a) -> Value {
         return split(*v.text(), optional_text(a, "sep"), limit_of(a, 1, "maxsplit"));
       }},
      {"rsplit",
       [](const Value& v, const Arguments& a) -> Value {
         return rsplit(*v.text(), want_text(needed(a, 0, "sep"), "rsplit"),
                       limit_of(a, 1, "maxsplit"));
       }},
      {"splitlines", split_lines},
      {"startswith",
       [](const Value& v, const Arguments& a) -> Value {
         return begins_or_ends(*v.text(), needed(a, 0, "prefix"), true);
       }},
      {"endswith",
       [](const Value& v, const Arguments& a) -> Value {
         return begins_or_ends(*v.text(), needed(a, 0, "suffix"), false);
       }},
      {"replace",
       [](const Value& v, const Arguments& a) -> Value {
         return replace_all(*v.text(), want_text(needed(a, 0, "old"), "replace"),
                            want_text(needed(a, 1, "new"), "replace"), limit_of(a, 2, "count"));
       }},
      {"upper",
       [](const Value& v, const Arguments&) -> Value { return change_case(*v.text(), true); }},
      {"lower",
       [](const Value& v, const Arguments&) -> Value { return change_case(*v.text(), false); }},
      {"capitalize",
       [](const Value& v, const Arguments&) -> Value { return capitalize(*v.text()); }},
      {"title", [](const Value& v, const Arguments&) -> Value { return title(*v.text()); }},
      {"find", find_text},
      {"count", count_text},
      {"join", join_text},
  };
  return kMethods;
}

Value pairs_of(const Value& v, const Arguments&) {
  List out;
  for (const auto& [key, item] : v.dict()->items) out.emplace_back(List{key, item});
  return out;
}

const std::map<std::string_view, Method>& dict_methods() {
  static const std::map<std::string_view, Method> kMethods = {
      {"items", pairs_of},
      {"keys", [](const Value& v, const Arguments&) -> Value { return items_of(v); }},
      {"values",
       [](const Value& v, const Arguments&) -> Value {
         List out;
         for (const auto& item : v.dict()->items) out.push_back(item.second);
         return out;
       }},
      {"get",
       [](const Value& v, const Arguments& a) -> Value {
         const Value& key = needed(a, 0, "key");
         const Value* found = key.text() ? v.dict()->find(*key.text()) : nullptr;
         if (found != nullptr) return *found;
         const Value* otherwise = a.get(1, "default");
         return otherwise != nullptr ? *otherwise : Value();
       }},
  };
  return kMethods;
}

Value cycle(const Value& loop, const Arguments& a) {
  if (a.positional.empty()) throw TemplateError("loop.cycle wants items");
  const std::int64_t index = want_integer(*loop.dict()->find("index0"), "loop.cycle");
  return a.positional[static_cast<std::size_t>(index) % a.positional.size()];
}

Value bind(const Value& object, const std::string& name, Method method) {
  charge_copy(object);
  return {std::make_shared<const Function>(
              Function{name, [object, method](const Arguments& a) { return method(object, a); }}),
          object};
}

}  // namespace

Value get_attribute(const Value& object, const std::string& name) {
  want_defined(object);
  const std::map<std::string_view, Method>* methods = nullptr;
  const Dict* dict = object.dict();
  if (object.text()) methods = &text_methods();
  if (dict && dict->kind == Dict::Kind::kPlain) methods = &dict_methods();
  if (methods != nullptr) {
    if (const auto found = methods->find(name); found != methods->end())
      return bind(object, name, found->second);
  }
  if (dict != nullptr) {
    if (dict->kind == Dict::Kind::kLoop && name == "cycle") return bind(object, name, cycle);
    if (const Value* found = dict->find(name)) return *found;
  }
  return Undefined{fmt::format("'{} object' has no attribute '{}'", object.type_name(), name)};
}

}  // namespace retinue::runtime::jinja
