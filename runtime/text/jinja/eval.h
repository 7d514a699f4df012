#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include "runtime/text/jinja/ast.h"

#include <string>
#include <string_view>

namespace retinue::runtime::jinja {

/// Runs a parsed template.  Jinja2: Environment of transformers' apply_chat_template
///   globals  values of names that the template does not set
/// Throws: TemplateError with the offset of the failing expression: raise_exception, a field of
///   something undefined, an operator on the wrong types; also for a template that runs for more
///   than 5 million steps or writes more than 64 MiB.
std::string evaluate(const Body& body, Dict globals);

/// The functions that every template may call: range, namespace, dict, raise_exception.
Dict standard_globals();

// Pieces of the evaluator, by file. operators.cpp:
Value apply_binary(std::string_view op, const Value& a, const Value& b);
Value apply_unary(std::string_view op, const Value& a);
bool compare(std::string_view op, const Value& a, const Value& b);
bool contains(const Value& container, const Value& item);
Value get_item(const Value& object, const Value& key);
Value get_slice(const Value& object, const Value& start, const Value& stop, const Value& step);

// methods.cpp:
/// A key of a mapping, or a bound method of str, dict or list; undefined where there is neither.
Value get_attribute(const Value& object, const std::string& name);

// filters.cpp:
Value apply_filter(std::string_view name, const Value& input, const Arguments& arguments);
bool apply_test(std::string_view name, const Value& input, const Arguments& arguments);

/// Throws: TemplateError unless `value` is a string (or an integer); `what` names it in the
///   message.
const std::string& want_text(const Value& value, std::string_view what);
std::int64_t want_integer(const Value& value, std::string_view what);

/// Throws: TemplateError when a value is undefined: most uses of it are errors in Jinja2.
void want_defined(const Value& value);

/// Returns its argument. Throws: TemplateError past 64 MiB.
std::string within_bounds(std::string text);

}  // namespace retinue::runtime::jinja
