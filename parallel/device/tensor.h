#pragma once

#include "parallel/base/check.h"
#include "parallel/device/dtype.h"
#include "parallel/device/memory.h"
#include "parallel/device/shape.h"

#include <cstddef>
#include <cstdint>
#include <utility>

namespace retinue {

/// Borrowed elements. Each row of dimension 0 is dense; rows lie `row_stride` elements apart, so
/// that a slice of columns is a view too. Passed by value. Only weights store one past a call.
template <class Byte>
class BasicTensorView {
 public:
  BasicTensorView() = default;
  BasicTensorView(Byte* data, DType dtype, Shape shape)
      : data_(data), dtype_(dtype), shape_(shape), row_stride_(row_numel()) {}
  BasicTensorView(Byte* data, DType dtype, Shape shape, std::int64_t row_stride)
      : data_(data), dtype_(dtype), shape_(shape), row_stride_(row_stride) {
    check(row_stride >= row_numel(), "rows of a view overlap");
  }
  /// A TensorView is a ConstTensorView.
  operator BasicTensorView<const std::byte>() const { return {data_, dtype_, shape_, row_stride_}; }

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] std::int64_t dim(int i) const { return shape_[i]; }
  [[nodiscard]] std::int64_t numel() const { return shape_.numel(); }
  [[nodiscard]] std::size_t size_bytes() const {
    return static_cast<std::size_t>(numel()) * retinue::size_bytes(dtype_);
  }
  [[nodiscard]] std::int64_t row_stride() const { return row_stride_; }
  [[nodiscard]] bool is_contiguous() const { return row_stride_ == row_numel() || shape_[0] <= 1; }
  [[nodiscard]] Byte* bytes() const { return data_; }

  /// Throws: BugError when T is not the dtype.
  template <class T>
  [[nodiscard]] auto data() const {
    check(dtype_of<T>() == dtype_, "a view was read as another dtype");
    if constexpr (std::is_const_v<Byte>)
      return reinterpret_cast<const T*>(data_);
    else
      return reinterpret_cast<T*>(data_);
  }

  /// Rows [begin, begin + count) of dimension 0.
  [[nodiscard]] BasicTensorView rows(std::int64_t begin, std::int64_t count) const {
    check(begin >= 0 && count >= 0 && begin + count <= shape_[0], "rows out of range");
    return with_dim(0, count, begin * row_stride_);
  }
  /// Columns [begin, begin + count) of a two-dimensional view.
  [[nodiscard]] BasicTensorView columns(std::int64_t begin, std::int64_t count) const {
    check(shape_.rank() == 2 && begin >= 0 && count >= 0 && begin + count <= shape_[1],
          "columns out of range");
    return with_dim(1, count, begin);
  }
  /// The same elements under another shape. Throws: BugError when strided or of another size.
  [[nodiscard]] BasicTensorView reshape(Shape shape) const {
    check(is_contiguous() && shape.numel() == numel(),
          "reshape wants contiguous elements and keeps their number");
    return {data_, dtype_, shape};
  }

 private:
  [[nodiscard]] std::int64_t row_numel() const {
    std::int64_t count = 1;
    for (int i = 1; i < shape_.rank(); ++i) count *= shape_[i];
    return count;
  }
  [[nodiscard]] BasicTensorView with_dim(int i, std::int64_t dim, std::int64_t offset) const {
    Shape shape = i == 0 ? shape_.with(0, dim) : Shape{shape_[0], dim};
    return {data_ + offset * static_cast<std::int64_t>(retinue::size_bytes(dtype_)), dtype_, shape,
            row_stride_};
  }

  Byte* data_ = nullptr;
  DType dtype_ = DType::kF32;
  Shape shape_{0};
  std::int64_t row_stride_ = 1;
};

using TensorView = BasicTensorView<std::byte>;
using ConstTensorView = BasicTensorView<const std::byte>;

/// Owns its elements, contiguous.
class Tensor {
 public:
  Tensor() = default;
  Tensor(MemoryLedger& ledger, Device device, DType dtype, Shape shape, MemoryTag tag)
      : buffer_(ledger, device, static_cast<std::size_t>(shape.numel()) * size_bytes(dtype), tag),
        dtype_(dtype),
        shape_(shape) {}

  [[nodiscard]] TensorView view() { return {buffer_.data(), dtype_, shape_}; }
  [[nodiscard]] ConstTensorView view() const { return {buffer_.data(), dtype_, shape_}; }
  operator TensorView() { return view(); }             // NOLINT: implicit
  operator ConstTensorView() const { return view(); }  // NOLINT: implicit
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] DType dtype() const { return dtype_; }

 private:
  Buffer buffer_;
  DType dtype_ = DType::kF32;
  Shape shape_{0};
};

}  // namespace retinue
