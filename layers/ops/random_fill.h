#pragma once

#include "parallel/base/rng.h"
#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// The distribution of a random tensor: element i is uniform in centre ± spread, a bf16 value that
/// random_bits(key, i) decides.
struct RandomRule {
  std::uint64_t key = 0;
  double centre = 0;
  double spread = 0;
};

inline float random_value(const RandomRule& rule, std::int64_t i) {
  const std::uint64_t bits = random_bits(rule.key, static_cast<std::uint64_t>(i));
  const double unit = static_cast<double>(bits >> 40) / 8388608.0 - 1.0;
  return to_float(to_bfloat16(static_cast<float>(rule.centre + rule.spread * unit)));
}

/// y[r, c] = element first + r · width + c: a slice of a tensor whose rows have `width` elements.
///   y  [rows, columns]  f32 | bf16 | f8_e4m3   rows may be strided
/// Numerics: f64, rounded to f32, then to bf16, then to f8_e4m3: the same bits on every device.
void random_fill(Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y);

namespace detail {
void random_fill(Cpu, Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y);
void random_fill(Cuda, Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y);
}  // namespace detail
}  // namespace retinue::ops
