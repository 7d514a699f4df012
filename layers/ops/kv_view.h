#pragma once

#include "parallel/device/tensor.h"

#include <cstdint>

namespace retinue::ops {

/// One layer's paged key-value cache. Who owns which page is policy and lies in runtime/engine;
/// this is the layout. On CPU a page of `block_size` tokens holds, per KV head, the keys in panels
/// of sixteen tokens and then the values in panels of sixteen channels, so that both products of
/// attention read them as they lie (kernels/cpu/simd/kernels.h). On CUDA it holds, per KV head, the
/// keys [block_size, head_dim] and then the values [block_size, head_dim], rows as they come.
struct KvView {
  TensorView data;              ///< [blocks, kv_heads_per_rank, 2 · block_size · head_dim]
  std::int64_t block_size = 0;  ///< tokens per page: 16, 32, 64 or 128
  std::int64_t kv_heads_per_rank = 0;
  std::int64_t head_dim = 0;  ///< a multiple of 16

  [[nodiscard]] std::int64_t blocks() const { return data.dim(0); }
  /// Elements of one page of one layer, all heads of this rank.
  static std::int64_t page_numel(std::int64_t block_size, std::int64_t kv_heads_per_rank,
                                 std::int64_t head_dim) {
    return kv_heads_per_rank * 2 * block_size * head_dim;
  }
};

}  // namespace retinue::ops
