#pragma once

// Tested through tests/runtime/text/chat_template_test.cpp.

#include "parallel/base/check.h"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace retinue::runtime::jinja {

/// An error of a template or its inputs. `offset` is a byte in the template's text.
class TemplateError : public Error {
 public:
  static constexpr std::size_t kNowhere = ~std::size_t{0};
  explicit TemplateError(const std::string& message, std::size_t offset = kNowhere)
      : Error(message), offset_(offset) {}
  [[nodiscard]] std::size_t offset() const { return offset_; }

 private:
  std::size_t offset_;
};

class Value;
struct Function;
using List = std::vector<Value>;

/// String keys in order of insertion, as in a Python dict. Namespaces and `loop` are dicts too.
struct Dict {
  enum class Kind { kPlain, kNamespace, kLoop };
  Kind kind = Kind::kPlain;
  std::vector<std::pair<std::string, Value>> items;

  [[nodiscard]] const Value* find(std::string_view key) const;
  void set(std::string_view key, Value value);
};

struct Undefined {
  std::string name;  ///< that was not found; for messages
};
struct None {};

/// A value of a template, with Python's rules of truth, equality, order and text. Lists and dicts
/// are shared, and only namespaces change: a namespace holds no namespace that it is set to, so no
/// value can hold itself.
class Value {
 public:
  using Lists = std::shared_ptr<List>;
  using Dicts = std::shared_ptr<Dict>;
  using Functions = std::shared_ptr<const Function>;

  Value() : v_(None{}) {}
  Value(Undefined v) : v_(std::move(v)) {}      // NOLINT: implicit
  Value(bool v) : v_(v) {}                      // NOLINT: implicit
  Value(std::int64_t v) : v_(v) {}              // NOLINT: implicit
  Value(double v) : v_(v) {}                    // NOLINT: implicit
  Value(std::string v) : v_(std::move(v)) {}    // NOLINT: implicit
  Value(const char* v) : v_(std::string(v)) {}  // NOLINT: implicit
  /// Throws, as the next: TemplateError for values nested deeper than 200.
  Value(List v);                            // NOLINT: implicit
  Value(Dict v);                            // NOLINT: implicit
  Value(Functions v) : v_(std::move(v)) {}  // NOLINT: implicit
  /// A method of `object`, which it holds.
  Value(Functions v, const Value& object)
      : v_(std::move(v)), holds_namespace_(object.holds_namespace_) {}

  template <class T>
  [[nodiscard]] const T* as() const {
    return std::get_if<T>(&v_);
  }
  [[nodiscard]] bool undefined() const { return as<Undefined>() != nullptr; }
  [[nodiscard]] bool none() const { return as<None>() != nullptr; }
  [[nodiscard]] const std::string* text() const { return as<std::string>(); }
  [[nodiscard]] const List* list() const { return as<Lists>() ? as<Lists>()->get() : nullptr; }
  [[nodiscard]] Dict* dict() const { return as<Dicts>() ? as<Dicts>()->get() : nullptr; }
  [[nodiscard]] const Function* function() const;
  /// Converts a bool, int or float; false for other types.
  bool number(double& out) const;
  /// Converts a bool or int; false for other types.
  bool integer(std::int64_t& out) const;

  /// Whether a namespace can be reached from here.
  [[nodiscard]] bool holds_namespace() const { return holds_namespace_; }

  [[nodiscard]] bool truth() const;
  [[nodiscard]] std::string_view type_name() const;  ///< Python's name of the type
  friend bool operator==(const Value& a, const Value& b);

 private:
  std::variant<None, Undefined, bool, std::int64_t, double, std::string, Lists, Dicts, Functions>
      v_;
  int depth_ = 0;  ///< of nested lists and dicts
  bool holds_namespace_ = false;

  void holds(const Value& part);
};

/// The arguments of a call.
struct Arguments {
  List positional;
  std::vector<std::pair<std::string, Value>> named;

  /// The argument at `index` or named `name`; null where absent.
  [[nodiscard]] const Value* get(std::size_t index, std::string_view name) const;
};

struct Function {
  std::string name;
  std::function<Value(const Arguments&)> call;
};

/// Throws: TemplateError for values nested deeper than 200.
Value from_json(const nlohmann::ordered_json& json);

std::string to_text(const Value& value);  ///< Python's str(); undefined is empty
std::string to_repr(const Value& value);  ///< Python's repr()
/// Python's json.dumps(ensure_ascii=False); `indent` < 0 writes one line.
std::string to_json(const Value& value, int indent = -1);
bool less(const Value& a, const Value& b);  ///< Throws: TemplateError for types without an order
List items_of(const Value& value);          ///< the items of a loop; characters of a string

}  // namespace retinue::runtime::jinja
