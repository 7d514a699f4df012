#include "parallel/comm/ordered_sum.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace retinue {
namespace {

// Up to this many partials are added in registers; more go through a small buffer on the stack.
constexpr std::size_t kUnrolled = 8;
constexpr std::int64_t kBlock = 512;

// reduce_tree(n) = tree of the largest power of two below n + tree of the rest.
template <std::size_t kCount>
inline float tree(const std::array<const float*, kUnrolled>& parts, std::size_t first,
                  std::int64_t i) {
  if constexpr (kCount == 1) {
    return parts[first][i];
  } else {
    constexpr std::size_t kLeft = std::bit_floor(kCount - 1);
    return tree<kLeft>(parts, first, i) + tree<kCount - kLeft>(parts, first + kLeft, i);
  }
}

template <std::size_t kCount>
void sum_in_registers(const float* const* parts, std::int64_t count, float* out) {
  std::array<const float*, kUnrolled> local{};
  std::copy_n(parts, kCount, local.begin());
// Where the output is one of the inputs, both have the same index: lanes are independent.
#pragma GCC ivdep
  for (std::int64_t i = 0; i < count; ++i) out[i] = tree<kCount>(local, 0, i);
}

void sum_few(std::span<const float* const> parts, std::int64_t count, float* out) {
  switch (parts.size()) {
    case 1:
      if (parts[0] != out)
        std::memmove(out, parts[0], static_cast<std::size_t>(count) * sizeof(float));
      return;
    case 2:
      return sum_in_registers<2>(parts.data(), count, out);
    case 3:
      return sum_in_registers<3>(parts.data(), count, out);
    case 4:
      return sum_in_registers<4>(parts.data(), count, out);
    case 5:
      return sum_in_registers<5>(parts.data(), count, out);
    case 6:
      return sum_in_registers<6>(parts.data(), count, out);
    case 7:
      return sum_in_registers<7>(parts.data(), count, out);
    case 8:
      return sum_in_registers<8>(parts.data(), count, out);
    default:
      check(false, "sum_few adds one to eight partials");
  }
}

// Elements [begin, begin + count) of all parts, count <= kBlock, into out[0, count).
void sum_block(std::span<const float* const> parts, std::int64_t begin, std::int64_t count,
               float* out) {
  if (parts.size() <= kUnrolled) {
    std::array<const float*, kUnrolled> shifted{};
    for (std::size_t p = 0; p < parts.size(); ++p) shifted[p] = parts[p] + begin;
    return sum_few(std::span(shifted.data(), parts.size()), count, out);
  }
  const std::size_t left = std::bit_floor(parts.size() - 1);
  std::array<float, kBlock> left_sum, right_sum;
  sum_block(parts.first(left), begin, count, left_sum.data());
  sum_block(parts.subspan(left), begin, count, right_sum.data());
  const std::array<const float*, 2> halves{left_sum.data(), right_sum.data()};
  sum_few(halves, count, out);
}

}  // namespace

void ordered_sum(std::span<const float* const> parts, std::int64_t count, float* out) {
  if (count == 0) return;
  if (parts.size() <= kUnrolled) return sum_few(parts, count, out);
  for (std::int64_t begin = 0; begin < count; begin += kBlock)
    sum_block(parts, begin, std::min(kBlock, count - begin), out + begin);
}

}  // namespace retinue
