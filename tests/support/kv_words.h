#pragma once

// Tested through tests/layers/ops/paged_attention_test.cpp.

#include "layers/ops/kv_view.h"
#include "tests/support/guarded.h"

#include <cstdint>
#include <type_traits>

namespace retinue::test {

/// Elements of a tensor that is the memory of a KV cache of Kept: its own type, or float for e4m3,
/// which lie among their scales.
template <class Kept>
using KvWord = std::conditional_t<std::is_same_v<Kept, Float8E4M3>, float, Kept>;
template <class Kept>
inline constexpr std::int64_t kKeptPerWord = sizeof(KvWord<Kept>) / sizeof(Kept);

/// The shape of that tensor: [blocks, kv_heads, words of a head's part of a KV block].
template <class Kept>
Shape kv_words_shape(std::int64_t blocks, std::int64_t kv_heads, std::int64_t block_size,
                     std::int64_t head_dim) {
  const std::int64_t numel = ops::KvView::block_numel(dtype_of<Kept>(), block_size, 1, head_dim);
  return {blocks, kv_heads, numel / kKeptPerWord<Kept>};
}

/// The cache in `words`, which has that shape.
template <class Kept>
ops::KvView kv_view(Guarded<KvWord<Kept>>& words, std::int64_t block_size, std::int64_t head_dim) {
  const TensorView view = words.view();
  return {TensorView(view.bytes(), dtype_of<Kept>(),
                     {view.dim(0), view.dim(1), view.dim(2) * kKeptPerWord<Kept>},
                     view.row_stride() * kKeptPerWord<Kept>),
          block_size, view.dim(1), head_dim};
}

}  // namespace retinue::test
