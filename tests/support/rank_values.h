#pragma once

#include "parallel/base/reduce_tree.h"
#include "parallel/base/rng.h"
#include "parallel/device/tensor.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace retinue::test {

/// Floats whose sum depends on the order: signs and exponents vary widely. Equal arguments give the
/// same values on every rank, so each rank can compute the others' values.
inline std::vector<float> values_of_rank(int rank, std::int64_t count, std::uint64_t seed = 1) {
  std::vector<float> values(static_cast<std::size_t>(count));
  const std::uint64_t key = mix64(seed * 1000 + static_cast<std::uint64_t>(rank));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint64_t bits = random_bits(key, i);
    const float mantissa = static_cast<float>(to_unit_double(bits) - 0.5);
    values[i] = std::ldexp(mantissa, static_cast<int>(bits % 25) - 12);
  }
  return values;
}

/// The result that all_reduce promises: the serial sum over ranks in tree order.
inline std::vector<float> tree_sum_of_ranks(int ranks, std::int64_t count, std::uint64_t seed = 1) {
  std::vector<std::vector<float>> partials;
  for (int rank = 0; rank < ranks; ++rank) partials.push_back(values_of_rank(rank, count, seed));
  reduce_tree(ranks, [&](int i, int j) {
    auto& into = partials[static_cast<std::size_t>(i)];
    const auto& from = partials[static_cast<std::size_t>(j)];
    for (std::size_t k = 0; k < into.size(); ++k) into[k] += from[k];
  });
  return partials[0];
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// A vector as a view of one dimension.
template <class T>
TensorView view_of(std::vector<T>& values) {
  return {reinterpret_cast<std::byte*>(values.data()), dtype_of<T>(),
          Shape{static_cast<std::int64_t>(values.size())}};
}

}  // namespace retinue::test
