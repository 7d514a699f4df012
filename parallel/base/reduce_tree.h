#pragma once

#include <bit>
#include <cstddef>

namespace retinue {

/// The most leaves of a row-parallel sum; see DECISIONS.md 3.
inline constexpr int kMaxLeaves = 8;

/// Combines `count` partials (a power of two) in the fixed tree ((0+1)+(2+3))+((4+5)+(6+7)).
/// `add(i, j)` must do partial[i] += partial[j]; the result is in partial 0.
template <class Add>
constexpr void reduce_tree(int count, Add&& add) {
  for (int step = 1; step < count; step *= 2)
    for (int i = 0; i + step < count; i += 2 * step) add(i, i + step);
}

/// True where `count` ranks each hold an aligned subtree.
constexpr bool is_tree_size(int count) {
  return count > 0 && std::has_single_bit(static_cast<unsigned>(count));
}

}  // namespace retinue
