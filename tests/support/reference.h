#pragma once

#include "parallel/device/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

// The ops as plain loops in f64, and the error that a result may have.

namespace retinue::test {

/// Relative error of one rounding: half a unit in the last place.
constexpr double kU32 = 0x1p-24;
constexpr double unit_roundoff(DType dtype) { return dtype == DType::kBF16 ? 0x1p-8 : kU32; }

/// Rounds as a tensor of that dtype would.
inline double rounded(double x, DType dtype) {
  const auto f = static_cast<float>(x);
  return dtype == DType::kBF16 ? to_float(to_bfloat16(f)) : f;
}

/// `magnitude` is the sum of a value's absolute terms; inner roundings are relative to it.
struct Expected {
  std::vector<double> value;
  std::vector<double> magnitude;

  void push(double v, double m) { value.push_back(v), magnitude.push_back(m); }
};

/// |error| ≤ relative · |value| + of_magnitude · magnitude for each element; over all of them
/// Σ error² ≤ relative² Σ value² + spread² Σ magnitude², where spread is of_magnitude for
/// roundings that are independent and add in squares.
struct Bound {
  double relative = 0;
  double of_magnitude = 0;
  double spread = 0;
};

/// `roundings` to the dtype at the end, after `steps` roundings to f32.
inline Bound bound_of(DType dtype, double roundings, double steps) {
  return {roundings * unit_roundoff(dtype) * 1.01, steps * kU32, std::sqrt(steps) * kU32};
}

inline testing::AssertionResult close(const std::vector<double>& actual, const Expected& expected,
                                      const Bound& bound) {
  if (actual.size() != expected.value.size()) return testing::AssertionFailure() << "sizes differ";
  double squares = 0, allowed = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double want = expected.value[i], magnitude = expected.magnitude[i];
    // Near the smallest normal f32 a result may be zero: flushed, or over an infinite 1 + e^x.
    const double slack =
        bound.relative * std::abs(want) + bound.of_magnitude * magnitude + 0x1p-124;
    const double error = actual[i] - want;
    if (!(std::abs(error) <= slack))
      return testing::AssertionFailure()
             << "element " << i << ": " << actual[i] << ", want " << want << " within " << slack;
    squares += error * error;
    allowed += bound.relative * bound.relative * want * want +
               bound.spread * bound.spread * magnitude * magnitude + 0x1p-248;
  }
  if (squares > allowed)
    return testing::AssertionFailure() << "sum of squares " << squares << " above " << allowed;
  return testing::AssertionSuccess();
}

using Doubles = std::vector<double>;
inline double at(const Doubles& x, std::int64_t i) { return x[static_cast<std::size_t>(i)]; }

inline Expected matmul_reference(const Doubles& x, const Doubles& w, const Doubles& bias,
                                 std::int64_t rows, std::int64_t outputs, std::int64_t inputs) {
  Expected y;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t n = 0; n < outputs; ++n) {
      double sum = bias.empty() ? 0 : at(bias, n), magnitude = std::abs(sum);
      for (std::int64_t k = 0; k < inputs; ++k) {
        const double product = at(x, r * inputs + k) * at(w, n * inputs + k);
        sum += product, magnitude += std::abs(product);
      }
      y.push(sum, magnitude);
    }
  return y;
}

/// `inner` is the dtype of the rounding between normalising and the weight.
inline Expected rms_norm_reference(const Doubles& x, const Doubles& weight, double eps,
                                   std::int64_t rows, std::int64_t width, DType inner) {
  Expected y;
  for (std::int64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (std::int64_t i = 0; i < width; ++i) squares += at(x, r * width + i) * at(x, r * width + i);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
    for (std::int64_t i = 0; i < width; ++i) {
      const double value = rounded(at(x, r * width + i) * scale, inner) * at(weight, i);
      y.push(value, std::abs(value));
    }
  }
  return y;
}

inline Expected layer_norm_reference(const Doubles& x, const Doubles& weight, const Doubles& bias,
                                     double eps, std::int64_t rows, std::int64_t width) {
  Expected y;
  for (std::int64_t r = 0; r < rows; ++r) {
    double mean = 0, size = 0, squares = 0;
    for (std::int64_t i = 0; i < width; ++i)
      mean += at(x, r * width + i), size += std::abs(at(x, r * width + i));
    mean /= static_cast<double>(width), size /= static_cast<double>(width);
    for (std::int64_t i = 0; i < width; ++i) {
      const double centred = at(x, r * width + i) - mean;
      squares += centred * centred;
    }
    const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + eps);
    for (std::int64_t i = 0; i < width; ++i) {
      const double v = at(x, r * width + i), w = at(weight, i), b = at(bias, i);
      y.push((v - mean) * scale * w + b, (std::abs(v) + size) * scale * std::abs(w) + std::abs(b));
    }
  }
  return y;
}

inline Expected silu_mul_reference(const Doubles& gate_up, std::int64_t rows, std::int64_t width,
                                   DType inner) {
  Expected y;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < width; ++i) {
      const double gate = at(gate_up, r * 2 * width + i);
      const double value =
          rounded(gate / (1 + std::exp(-gate)), inner) * at(gate_up, r * 2 * width + width + i);
      y.push(value, std::abs(value));
    }
  return y;
}

/// The magnitude carries the condition of the exponential: an argument of size a, itself rounded,
/// moves e^a by a times that rounding.
inline Expected gelu_reference(const Doubles& x, bool tanh_form) {
  Expected y;
  for (const double v : x) {
    const double u = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
    const double value = tanh_form ? v / (1 + std::exp(-2 * u)) : v * std::erfc(-v / M_SQRT2) / 2;
    y.push(value, std::abs(value) * (1 + (tanh_form ? std::abs(2 * u) : v * v)));
  }
  return y;
}

/// One head: rows of q against the first row_keys[r] of k and v. The magnitude is Σ p |v| / Σ p.
inline Expected attention_reference(const Doubles& q, const Doubles& k, const Doubles& v,
                                    const std::vector<std::int64_t>& row_keys,
                                    std::int64_t head_dim, double scale) {
  Expected y;
  for (std::size_t r = 0; r < row_keys.size(); ++r) {
    Doubles p;
    double largest = -HUGE_VAL, sum = 0;
    for (std::int64_t j = 0; j < row_keys[r]; ++j) {
      double score = 0;
      for (std::int64_t c = 0; c < head_dim; ++c)
        score += at(q, static_cast<std::int64_t>(r) * head_dim + c) * at(k, j * head_dim + c);
      p.push_back(score * scale);
      largest = std::max(largest, p.back());
    }
    for (double& x : p) x = std::exp(x - largest), sum += x;
    for (std::int64_t c = 0; c < head_dim; ++c) {
      double value = 0, magnitude = 0;
      for (std::int64_t j = 0; j < row_keys[r]; ++j) {
        value += at(p, j) * at(v, j * head_dim + c);
        magnitude += at(p, j) * std::abs(at(v, j * head_dim + c));
      }
      y.push(value / sum, magnitude / sum);
    }
  }
  return y;
}

}  // namespace retinue::test
