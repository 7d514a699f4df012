// Element-wise and row-wise kernels. Included once by table.simd.cpp. All arithmetic is f32; a
// value is rounded to T exactly where the reference's bf16 tensors would be.

#pragma once

#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/kernels/cpu/simd/simd.h"

namespace retinue::ops::simd {
namespace {

/// Calls body(offset, count) for each sixteen elements; count < 16 only at the end.
template <class Body>
RETINUE_INLINE void for_lanes(std::int64_t n, Body&& body) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, std::int64_t{kLanes});
  if (i < n) body(i, n - i);
}
template <class T>
RETINUE_INLINE Vf load_lanes(const T* p, std::int64_t count) {
  return count == kLanes ? load(p) : load_part(p, count);
}
template <class T>
RETINUE_INLINE void store_lanes(T* p, Vf x, std::int64_t count) {
  count == kLanes ? store(p, x) : store_part(p, x, count);
}

/// x · σ(x)
RETINUE_INLINE Vf silu(Vf x) { return x / (exp(-x) + 1.0F); }

template <class T>
void silu_mul(const T* gate, const T* up, T* y, std::int64_t n) {
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    const Vf activated = round_to(silu(load_lanes(gate + i, count)), y);
    store_lanes(y + i, activated * load_lanes(up + i, count), count);
  });
}

/// 0.5 x (1 + tanh u) = x · σ(2u), u = √(2/π) (x + 0.044715 x³)
template <class T>
void gelu_tanh(const T* x, T* y, std::int64_t n) {
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    const Vf v = load_lanes(x + i, count);
    const Vf minus_2u = v * fma(v * v, splat(-0.0713548163F), splat(-1.59576912F));
    store_lanes(y + i, v / (exp(minus_2u) + 1.0F), count);
  });
}

/// x · Φ(x). erfc(t) = e^(-t²) · P(τ), τ = 1 / (1 + 0.38 t): P fitted to erfcx on [0, 12], relative
/// error below 2.1e-8, so that the negative tail keeps its relative accuracy too.
template <class T>
void gelu_erf(const T* x, T* y, std::int64_t n) {
  constexpr float kP[] = {0.21441187F,   0.213904988F, 0.204002269F, 0.138298485F, 0.230805381F,
                          -0.162532789F, 0.364757585F, -0.26269696F, 0.0590491911F};
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    const Vf v = load_lanes(x + i, count);
    const Vf t = as_float(as_bits(v) & 0x7FFFFFFFU) * 0.707106781F;
    const Vf tau = 1.0F / (t * 0.38F + 1.0F);
    Vf p = splat(kP[8]);
    for (int k = 7; k >= 0; --k) p = fma(p, tau, splat(kP[k]));
    const Vf half_tail = exp(-(t * t)) * (p * tau) * 0.5F;
    store_lanes(y + i, v * select(v < 0.0F, half_tail, 1.0F - half_tail), count);
  });
}

/// x + branch, with a branch that is not of T rounded to T first.
template <class T, class Branch>
RETINUE_INLINE Vf sum_at(const T* x, const Branch* branch, std::int64_t i, std::int64_t count) {
  const Vf more = load_lanes(branch + i, count);
  if constexpr (sizeof(T) == sizeof(Branch))
    return load_lanes(x + i, count) + more;
  else
    return load_lanes(x + i, count) + round_to(more, x);
}

template <class T, class B>
void add(const T* a, const B* b, T* y, std::int64_t n) {
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    store_lanes(y + i, sum_at(a, b, i, count), count);
  });
}

template <class T>
void cast_from_f32(const float* x, T* y, std::int64_t n) {
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    store_lanes(y + i, load_lanes(x + i, count), count);
  });
}

template <class T>
void rotate(const Rotation<T>& t) {
  for_lanes(t.half, [&](std::int64_t i, std::int64_t count) {
    const Vf a = load_lanes(t.low + i, count), b = load_lanes(t.high + i, count);
    const Vf c = load_lanes(t.cos + i, count), s = load_lanes(t.sin + i, count);
    Vf ac = a * c, bs = b * s, bc = b * c, as = a * s;
    if (t.each_step) {
      ac = round_to(ac, t.low), bs = round_to(bs, t.low);
      bc = round_to(bc, t.low), as = round_to(as, t.low);
    }
    store_lanes(t.low + i, ac - bs, count);
    store_lanes(t.high + i, bc + as, count);
  });
}

/// Σ term(i) over a row: sixteen running sums, then the tree over lanes.
template <class Term>
RETINUE_INLINE float sum_row(std::int64_t n, Term&& term) {
  Vf sum{};
  for_lanes(n, [&](std::int64_t i, std::int64_t count) { sum += term(i, count); });
  return sum_lanes(sum);
}

/// `first(i, count)` returns the row's values at i. It is called once per i, in order, because it
/// may still be writing x.
template <class T, class First>
RETINUE_INLINE void rms_norm_row(const T* x, const T* weight, float eps, T* y, std::int64_t n,
                                 First&& first) {
  const float squares = sum_row(n, [&](std::int64_t i, std::int64_t count) {
    const Vf v = first(i, count);
    return v * v;
  });
  const float scale = 1.0F / __builtin_sqrtf(squares / static_cast<float>(n) + eps);
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    const Vf normed = round_to(load_lanes(x + i, count) * scale, y);
    store_lanes(y + i, load_lanes(weight + i, count) * normed, count);
  });
}
/// layer_norm, with `first` as above.
template <class T, class First>
RETINUE_INLINE void layer_norm_row(const T* x, const T* weight, const T* bias, float eps, T* y,
                                   std::int64_t n, First&& first) {
  const float mean =
      sum_row(n, [&](std::int64_t i, std::int64_t count) { return first(i, count); }) /
      static_cast<float>(n);
  const Vi lane = numbers_from<Vi>();
  const float squares = sum_row(n, [&](std::int64_t i, std::int64_t count) {
    const Vf centred = load_lanes(x + i, count) - mean;
    if (count == kLanes) return centred * centred;
    return select(lane < static_cast<std::int32_t>(count), centred * centred, Vf{});
  });
  const float scale = 1.0F / __builtin_sqrtf(squares / static_cast<float>(n) + eps);
  for_lanes(n, [&](std::int64_t i, std::int64_t count) {
    const Vf normed = (load_lanes(x + i, count) - mean) * scale;
    store_lanes(y + i, fma(normed, load_lanes(weight + i, count), load_lanes(bias + i, count)),
                count);
  });
}

/// Puts x + branch into x, and returns it.
template <class T, class Branch>
RETINUE_INLINE Vf add_at(T* x, const Branch* branch, std::int64_t i, std::int64_t count) {
  const Vf sum = round_to(sum_at(x, branch, i, count), x);
  if (count == kLanes)
    store_rounded(x + i, sum);
  else
    store_part(x + i, sum, count);
  return sum;
}

/// NaN counts as infinity: that keeps the order strict, and the largest value shows it.
RETINUE_INLINE Vf order_key(const Vf& x) { return select(x == x, x, splat(__builtin_inff())); }
RETINUE_INLINE float order_key(float x) { return x == x ? x : __builtin_inff(); }

template <class T>
std::int64_t largest(const T* x, std::int64_t n) {
  // Finds the first sixteen that hold it, then its place among them.
  constexpr std::int64_t kBlock = 64 * kLanes;
  float most = -__builtin_inff();
  std::int64_t block = 0;
  const auto key = [&](std::int64_t i) { return order_key(to_float(x[i])); };
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    const std::int64_t end = begin + kBlock < n ? begin + kBlock : n;
    const std::int64_t whole = end - (end - begin) % kLanes;
    Vf lanes = splat(-__builtin_inff());
    for (std::int64_t i = begin; i < whole; i += kLanes)
      lanes = max(lanes, order_key(load(x + i)));
    float here = max_lanes(lanes);
    for (std::int64_t i = whole; i < end; ++i) here = key(i) > here ? key(i) : here;
    if (here > most) most = here, block = begin;
  }
  std::int64_t at = block;
  while (key(at) != most) ++at;
  return at;
}

template <class T>
void rms_norm(const T* x, const T* weight, float eps, T* y, std::int64_t n) {
  rms_norm_row(x, weight, eps, y, n,
               [&](std::int64_t i, std::int64_t count) { return load_lanes(x + i, count); });
}
template <class T, class Branch>
void add_rms_norm(T* x, const Branch* branch, const T* weight, float eps, T* y, std::int64_t n) {
  rms_norm_row(x, weight, eps, y, n,
               [&](std::int64_t i, std::int64_t count) { return add_at(x, branch, i, count); });
}

template <class T>
void layer_norm(const T* x, const T* weight, const T* bias, float eps, T* y, std::int64_t n) {
  layer_norm_row(x, weight, bias, eps, y, n,
                 [&](std::int64_t i, std::int64_t count) { return load_lanes(x + i, count); });
}
template <class T>
void add_layer_norm(T* x, const T* branch, const T* weight, const T* bias, float eps, T* y,
                    std::int64_t n) {
  layer_norm_row(x, weight, bias, eps, y, n,
                 [&](std::int64_t i, std::int64_t count) { return add_at(x, branch, i, count); });
}

}  // namespace
}  // namespace retinue::ops::simd
