#pragma once

// Tested through tests/layers/ops/paged_attention_test.cpp.

#include "parallel/device/tensor.h"

#include <cstdint>

namespace retinue::ops {

/// The layout of one layer's paged key-value cache. Which sequence owns which KV block is policy,
/// and decided in runtime/engine. A KV block holds, per KV head, the keys of `block_size` tokens
/// and then their values:
///   CPU   keys in panels of sixteen tokens, values in panels of sixteen channels, so that both
///         products of attention read memory in order (kernels/cpu/simd/kernels.h)
///   CUDA  keys [block_size, head_dim], values [block_size, head_dim], row by row
struct KvView {
  TensorView data;              ///< [blocks, kv_heads_per_rank, 2 · block_size · head_dim]
  std::int64_t block_size = 0;  ///< tokens per KV block: 16, 32, 64 or 128
  std::int64_t kv_heads_per_rank = 0;
  std::int64_t head_dim = 0;  ///< a multiple of 16

  [[nodiscard]] std::int64_t blocks() const { return data.dim(0); }
  /// Elements of one KV block in one layer, all heads of this rank.
  static std::int64_t block_numel(std::int64_t block_size, std::int64_t kv_heads_per_rank,
                                  std::int64_t head_dim) {
    return kv_heads_per_rank * 2 * block_size * head_dim;
  }
};

}  // namespace retinue::ops
