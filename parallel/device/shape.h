#pragma once

#include "parallel/base/check.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace retinue {

/// Up to five dimensions, inline, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const std::int64_t> dims) {
    check(dims.size() <= kMaxRank, "a shape has at most five dimensions");
    for (const std::int64_t dim : dims) {
      check(dim >= 0, "a dimension is negative");
      dims_[static_cast<std::size_t>(rank_++)] = dim;
    }
  }

  [[nodiscard]] int rank() const { return rank_; }
  /// `i` may be negative: -1 is the innermost dimension.
  [[nodiscard]] std::int64_t operator[](int i) const {
    if (i < 0) i += rank_;
    check(i >= 0 && i < rank_, "dimension out of range");
    return dims_[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] std::int64_t numel() const {
    std::int64_t count = 1;
    for (int i = 0; i < rank_; ++i) count *= dims_[static_cast<std::size_t>(i)];
    return count;
  }
  /// The same shape with dimension `i` replaced.
  [[nodiscard]] Shape with(int i, std::int64_t dim) const {
    Shape shape = *this;
    check(i >= 0 && i < rank_ && dim >= 0, "dimension out of range");
    shape.dims_[static_cast<std::size_t>(i)] = dim;
    return shape;
  }
  /// "[7, 5120]"
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace retinue
