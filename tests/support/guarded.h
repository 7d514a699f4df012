#pragma once

#include "parallel/base/rng.h"
#include "parallel/device/stream.h"
#include "parallel/device/tensor.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

namespace retinue::test {

/// The device of the running test's contexts and tensors: the CPU, or CUDA while `for_each_isa`
/// runs a body there.
inline Device& test_device() {
  thread_local Device device;
  return device;
}
inline float as_float(float x) { return x; }
inline float as_float(BFloat16 x) { return to_float(x); }
inline float as_float(Float8E4M3 x) { return to_float(x); }
inline double as_double(float x) { return x; }
inline double as_double(BFloat16 x) { return to_float(x); }
inline double as_double(Float8E4M3 x) { return to_float(x); }
template <class T>
T from_double(double x) {
  if constexpr (std::is_same_v<T, BFloat16>)
    return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<T, Float8E4M3>)
    return to_float8_e4m3(static_cast<float>(x));
  else
    return static_cast<T>(x);
}

/// Whether row strides are rounded up to multiples of 16 bytes: `for_each_isa` runs bodies on CUDA
/// with and without, since kernels have paths for aligned rows.
inline bool& aligns_rows() {
  thread_local bool aligns = false;
  return aligns;
}

/// A tensor among canaries: before it, behind it and, with `gap` elements between its rows, inside.
/// A canary is all ones, NaN in floating point: an op that reads one gives NaN. On CUDA `view()` is
/// of a copy on the device, canaries included; the host's copy is updated when the host reads it.
template <class T>
class Guarded {
 public:
  explicit Guarded(const Shape& shape, std::int64_t gap = 0) : shape_(shape) {
    row_numel_ = shape.with(0, 1).numel();
    stride_ = row_numel_ + gap;
    constexpr auto kVector = static_cast<std::int64_t>(16 / sizeof(T));
    if (aligns_rows() && gap > 0) stride_ = (stride_ + kVector - 1) / kVector * kVector;
    memory_.resize(static_cast<std::size_t>(2 * kGuard + shape[0] * stride_));
    std::memset(memory_.data(), 0xFF, memory_.size() * sizeof(T));
  }
  /// With values in [-1, 1) drawn from `key`.
  static Guarded random(const Shape& shape, std::uint64_t key, std::int64_t gap = 0,
                        double scale = 1) {
    Guarded g(shape, gap);
    std::uint64_t counter = 0;
    g.for_each([&](T& x) {
      x = from_double<T>(scale * (2 * to_unit_double(random_bits(key, counter++)) - 1));
    });
    return g;
  }
  static Guarded of(const Shape& shape, const std::vector<T>& values, std::int64_t gap = 0) {
    Guarded g(shape, gap);
    std::size_t i = 0;
    g.for_each([&](T& x) { x = values[i++]; });
    return g;
  }
  static Guarded filled(const Shape& shape, T value, std::int64_t gap = 0) {
    Guarded g(shape, gap);
    g.for_each([&](T& x) { x = value; });
    return g;
  }

  /// Valid as long as the tensor; its elements are current until the host writes one.
  [[nodiscard]] TensorView view() {
    std::byte* first = reinterpret_cast<std::byte*>(memory_.data() + kGuard);
    if (test_device().type == DeviceType::kCpu) {
      bring_home();
    } else {
      if (!mirror_) mirror_ = std::make_unique<Mirror>(size_bytes());
      if (!std::exchange(mirror_->newest, true)) mirror_->copy(mirror_->memory(), memory_.data());
      first = mirror_->memory() + kGuard * sizeof(T);
    }
    return {first, dtype_of<T>(), shape_, stride_};
  }
  operator TensorView() { return view(); }            // NOLINT: implicit
  operator ConstTensorView() { return view(); }       // NOLINT: implicit
  T& at(std::int64_t row, std::int64_t column = 0) {  ///< column: inside the row, all dimensions
    bring_home();
    return memory_[static_cast<std::size_t>(kGuard + row * stride_ + column)];
  }
  /// The elements, without the gaps between rows.
  [[nodiscard]] std::vector<T> values() {
    std::vector<T> out;
    look([&](T& x) { out.push_back(x); });
    return out;
  }
  [[nodiscard]] std::vector<double> doubles() {
    std::vector<double> out;
    look([&](T& x) { out.push_back(as_double(x)); });
    return out;
  }
  /// No canary has changed.
  [[nodiscard]] bool intact() {
    download();
    const auto is_canary = [](const T& x) {
      const auto* byte = reinterpret_cast<const unsigned char*>(&x);
      for (std::size_t i = 0; i < sizeof(T); ++i)
        if (byte[i] != 0xFF) return false;
      return true;
    };
    const std::int64_t size = static_cast<std::int64_t>(memory_.size());
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t at = i - kGuard;
      const bool inside = at >= 0 && at < shape_[0] * stride_ && at % stride_ < row_numel_;
      if (!inside && !is_canary(memory_[static_cast<std::size_t>(i)])) return false;
    }
    return true;
  }
  template <class Body>
  void for_each(Body&& body) {
    bring_home();
    look(body);
  }

 private:
  static constexpr std::int64_t kGuard = 67;  // odd, so that nothing is aligned by chance

  /// The same bytes on the device, shifted so that the first element is aligned to 16 bytes, and
  /// with `aligns_rows` every row.
  struct Mirror {
    explicit Mirror(std::size_t bytes)
        : size_bytes(bytes),
          stream(test_device()),
          buffer(ledger, test_device(), bytes + kShift, MemoryTag::kActivations) {}
    [[nodiscard]] std::byte* memory() const { return buffer.data() + kShift; }
    void copy(void* to, const void* from) const {
      stream.copy(to, from, size_bytes);
      stream.synchronize();
    }
    static constexpr std::size_t kShift = 16 - kGuard * sizeof(T) % 16;
    std::size_t size_bytes;
    Stream stream;
    MemoryLedger ledger;
    Buffer buffer;
    bool newest = false;  ///< a view was given out, and the host has not written since
  };

  [[nodiscard]] std::size_t size_bytes() const { return memory_.size() * sizeof(T); }
  void download() {
    if (mirror_ && mirror_->newest) mirror_->copy(memory_.data(), mirror_->memory());
  }
  /// Makes the host's copy the current one.
  void bring_home() {
    download();
    if (mirror_) mirror_->newest = false;
  }
  template <class Body>
  void look(Body&& body) {
    download();
    for (std::int64_t r = 0; r < shape_[0]; ++r)
      for (std::int64_t c = 0; c < row_numel_; ++c)
        body(memory_[static_cast<std::size_t>(kGuard + r * stride_ + c)]);
  }

  Shape shape_;
  std::int64_t row_numel_ = 0;
  std::int64_t stride_ = 0;
  std::vector<T> memory_;
  std::unique_ptr<Mirror> mirror_;
};

/// Bits equal; NaN equals itself, -0.0 is not 0.0.
template <class T>
testing::AssertionResult same_bits(Guarded<T>& a, Guarded<T>& b) {
  const std::vector<T> x = a.values(), y = b.values();
  if (x.size() != y.size()) return testing::AssertionFailure() << "sizes differ";
  std::size_t differing = 0, first = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (std::memcmp(&x[i], &y[i], sizeof(T)) != 0 && differing++ == 0) first = i;
  if (differing == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << differing << " of " << x.size() << " elements differ, the first at " << first << ": "
         << as_float(x[first]) << " and " << as_float(y[first]);
}

}  // namespace retinue::test
