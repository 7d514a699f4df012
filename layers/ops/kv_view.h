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
/// A cache of f8_e4m3 has scales after these: [block_size] f32 of the keys, then of the values. On
/// CPU its panels lie like those of the keys' own type; on CUDA every KV block begins at a multiple
/// of 16 bytes.
///
/// Numerics of f8_e4m3: the key of a token and KV head has the scale s = max |x| / 448 (f32
/// division), and is kept as q = e4m3(x / s), to nearest, halves to even; a key of zeros has s = 0
/// and q = 0, and one with a NaN or an infinity has such an s, so that no finite number comes of
/// it. q is never NaN (it becomes -448), and a zero has no sign. Values alike. Attention
/// multiplies the score of a key with the key's s, in f32, and the probability of a value with the
/// value's s, before that is rounded to the dtype.
struct KvView {
  TensorView data;              ///< [blocks, kv_heads_per_rank, head_numel()]  f32 | bf16 | f8_e4m3
  std::int64_t block_size = 0;  ///< tokens per KV block: 16, 32, 64 or 128
  std::int64_t kv_heads_per_rank = 0;
  std::int64_t head_dim = 0;  ///< a multiple of 16

  [[nodiscard]] std::int64_t blocks() const { return data.dim(0); }
  [[nodiscard]] bool is_fp8() const { return data.dtype() == DType::kF8E4M3; }
  /// Elements of one KV block of one head.
  [[nodiscard]] std::int64_t head_numel() const {
    return block_numel(data.dtype(), block_size, 1, head_dim);
  }
  /// Whether `data` has the shape above.
  [[nodiscard]] bool has_its_shape() const {
    return data.shape() == Shape{blocks(), kv_heads_per_rank, head_numel()};
  }
  /// Whether keys and values of `dtype` may be kept here.
  [[nodiscard]] bool keeps(DType dtype) const { return is_fp8() || data.dtype() == dtype; }
  /// Elements of one KV block in one layer, all heads of this rank.
  static std::int64_t block_numel(DType dtype, std::int64_t block_size,
                                  std::int64_t kv_heads_per_rank, std::int64_t head_dim) {
    const std::int64_t scale_bytes = dtype == DType::kF8E4M3 ? sizeof(float) : 0;
    return kv_heads_per_rank * 2 * block_size * (head_dim + scale_bytes);
  }
};

}  // namespace retinue::ops
