#pragma once

// Tested through tests/layers/ops/gelu_test.cpp.

// Sixteen lanes as one value, for the sources in this folder only. Each of those sources is compiled
// once per instruction set; everything here has internal linkage, so that no object built for a wide
// set can lend a function to one built for a narrow set.

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace retinue::ops::simd {
namespace {  // NOLINT: internal linkage is the point

inline constexpr int kLanes = 16;

/// How many registers sixteen floats fill.
#if defined(__AVX512F__)
inline constexpr int kRegisters = 1;
#elif defined(__AVX2__)
inline constexpr int kRegisters = 2;
#else
inline constexpr int kRegisters = 4;
#endif

#define RETINUE_INLINE inline __attribute__((always_inline))

template <class V>
using Element = std::remove_cvref_t<decltype(std::declval<V&>()[0])>;

/// A vector in several registers. g++ keeps a built-in vector that is wider than a register in memory:
/// products of bf16 then ran at about 1 % of what the registers allow (BENCHMARKS.md).
template <class Half>
struct Halves {
  Half low, high;

  // g++ lets the elements of a vector alias it.
  RETINUE_INLINE auto& operator[](int lane) { return reinterpret_cast<Element<Half>*>(this)[lane]; }
};
template <class V>
inline constexpr bool kIsHalves = false;
template <class Half>
inline constexpr bool kIsHalves<Halves<Half>> = true;

template <class T, int lanes, int registers>
struct VectorOf {
  using Type = Halves<typename VectorOf<T, lanes / 2, registers / 2>::Type>;
};
template <class T, int lanes>
struct VectorOf<T, lanes, 1> {
  typedef T Type __attribute__((vector_size(lanes * sizeof(T))));
};
/// Has as many parts as one of floats, whatever its size, so that their parts correspond.
template <class T, int lanes = kLanes>
using Vector = typename VectorOf<T, lanes, kRegisters>::Type;

/// The half that an operation on the low half takes; a scalar is for both.
template <class T>
RETINUE_INLINE auto low(const T& x) {
  if constexpr (kIsHalves<T>)
    return x.low;
  else
    return x;
}
template <class T>
RETINUE_INLINE auto high(const T& x) {
  if constexpr (kIsHalves<T>)
    return x.high;
  else
    return x;
}

// The operators that built-in vectors have.
#define RETINUE_LANEWISE(op)                                                                       \
  template <class A, class B>                                                                      \
  requires(kIsHalves<A> || kIsHalves<B>) RETINUE_INLINE auto operator op(const A& a, const B& b) { \
    return Halves{low(a) op low(b), high(a) op high(b)};                                           \
  }
RETINUE_LANEWISE(+)
RETINUE_LANEWISE(-)
RETINUE_LANEWISE(*)
RETINUE_LANEWISE(/)
RETINUE_LANEWISE(&)
RETINUE_LANEWISE(|)
RETINUE_LANEWISE(<<)
RETINUE_LANEWISE(>>)
RETINUE_LANEWISE(<)
RETINUE_LANEWISE(>)
RETINUE_LANEWISE(==)
RETINUE_LANEWISE(!=)
#undef RETINUE_LANEWISE
template <class Half>
RETINUE_INLINE Halves<Half> operator-(const Halves<Half>& a) {
  return {-a.low, -a.high};
}
template <class Half, class B>
RETINUE_INLINE void operator+=(Halves<Half>& a, const B& b) {
  a = a + b;
}
template <class Half, class B>
RETINUE_INLINE void operator*=(Halves<Half>& a, const B& b) {
  a = a * b;
}

/// mask lanes are all ones or all zeros.
template <class Mask, class V>
RETINUE_INLINE V select(const Mask& mask, const V& yes, const V& no) {
  if constexpr (kIsHalves<V>)
    return {select(mask.low, yes.low, no.low), select(mask.high, yes.high, no.high)};
  else
    return mask ? yes : no;
}
/// Each element converted, as static_cast does.
template <class To, class From>
RETINUE_INLINE To convert(const From& x) {
  if constexpr (kIsHalves<To>)
    return {convert<decltype(To::low)>(x.low), convert<decltype(To::high)>(x.high)};
  else
    return __builtin_convertvector(x, To);
}
/// The same bits.
template <class To, class From>
RETINUE_INLINE To bits_as(const From& x) {
  if constexpr (kIsHalves<To>)
    return {bits_as<decltype(To::low)>(x.low), bits_as<decltype(To::high)>(x.high)};
  else
    return reinterpret_cast<To>(x);
}
template <class V>
RETINUE_INLINE V load_bits(const void* p) {
  if constexpr (kIsHalves<V>) {
    using Half = decltype(V::low);
    return {load_bits<Half>(p), load_bits<Half>(static_cast<const char*>(p) + sizeof(Half))};
  } else {
    V x;
    std::memcpy(&x, p, sizeof x);
    return x;
  }
}
template <class V>
RETINUE_INLINE void store_bits(void* p, const V& x) {
  if constexpr (kIsHalves<V>) {
    store_bits(p, x.low);
    store_bits(static_cast<char*>(p) + sizeof x.low, x.high);
  } else {
    std::memcpy(p, &x, sizeof x);
  }
}

/// Keeps g++ from taking a vector of equal elements back to a scalar, computing with that, and filling
/// a vector with each result.
template <class V>
RETINUE_INLINE void stay_vector(V& x) {
  if constexpr (kIsHalves<V>) {
    stay_vector(x.low);
    x.high = x.low;
  } else {
    asm("" : "+x"(x));
  }
}

/// first, first + 1, ...
template <class V, int first = 0>
RETINUE_INLINE V numbers_from() {
  constexpr int kCount = sizeof(V) / sizeof(Element<V>);
  if constexpr (kIsHalves<V>)
    return {numbers_from<decltype(V::low), first>(),
            numbers_from<decltype(V::high), first + kCount / 2>()};
  else
    return []<int... i>(std::integer_sequence<int, i...>) { return V{(first + i)...}; }
  (std::make_integer_sequence<int, kCount>());
}

/// Lanes combined pairwise at distance 8, 4, 2, 1: the fixed tree of a row. `combine` takes vectors of
/// any length.
template <class V, class Combine, int distance = sizeof(V) / sizeof(Element<V>) / 2>
RETINUE_INLINE auto combine_lanes(V x, const Combine& combine) {
  if constexpr (kIsHalves<V>) {
    return combine_lanes(combine(x.low, x.high), combine);
  } else {
    constexpr int kCount = sizeof(V) / sizeof(Element<V>);
    const V other = [&]<int... i>(std::integer_sequence<int, i...>) {
      return __builtin_shuffle(x,
                               typename VectorOf<std::int32_t, kCount, 1>::Type{(i + distance)...});
    }
    (std::make_integer_sequence<int, kCount>());
    const V combined = combine(x, other);
    if constexpr (distance > 1)
      return combine_lanes<V, Combine, distance / 2>(combined, combine);
    else
      return combined[0];
  }
}

}  // namespace
}  // namespace retinue::ops::simd
