#pragma once

#include "parallel/base/check.h"

#include <string>
#include <utility>
#include <variant>

namespace retinue {

/// Bad data is expected: a corrupt JPEG, a prompt that is too long. It is a value and not an
/// exception, so that one item never hurts another.
struct DataError {
  std::string stage;    ///< where it failed: "image", "prompt", "decode", …
  std::string message;  ///< what was wanted, what was got
};

/// Either a T or the reason why there is none.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}          // NOLINT: implicit
  Result(DataError error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  /// Throws: BugError when there is no value.
  [[nodiscard]] T& value() & {
    check(ok(), "value() of a failed Result");
    return std::get<0>(state_);
  }
  [[nodiscard]] const T& value() const& {
    check(ok(), "value() of a failed Result");
    return std::get<0>(state_);
  }
  [[nodiscard]] T&& value() && {
    check(ok(), "value() of a failed Result");
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// Throws: BugError when there is a value.
  [[nodiscard]] const DataError& error() const {
    check(!ok(), "error() of a good Result");
    return std::get<1>(state_);
  }

 private:
  std::variant<T, DataError> state_;
};

}  // namespace retinue
