#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include "parallel/device/cpu/isa.h"
#include "parallel/device/dtype.h"

#include <cstdint>

namespace retinue::ops::simd {

/// Weights and keys lie in panels of sixteen outputs: element (n, k) of T at
///   panel n/16, then k / pair, then n%16, then k%pair      pair = 1 for f32, else 2
/// so that one load brings the next operand(s) of sixteen outputs, for one row as for many.
inline constexpr int kPanel = 16;
/// In a block of several tiles of rows, a tile starts at every multiple of this, under every
/// instruction set.
inline constexpr int kTileRowsMultiple = 24;
template <class T>
inline constexpr int kPair = sizeof(T) == 4 ? 1 : 2;

/// y[m, n] = Σ_k x[m, k] · w[n, k] (+ bias[n]) for a block of rows and panels.
template <class T>
struct MatmulBlock {
  const T* x;             ///< rows packed by pack_rows, over all of K
  const T* panels;        ///< first panel of the block
  std::int64_t k;         ///< a multiple of kPair<T> (zero-padded)
  std::int64_t leaf_k;    ///< length of a leaf of K; leaves are combined in the fixed tree
  std::int64_t rows;      ///< rows of the block
  std::int64_t columns;   ///< outputs of the block; the last panel may be partly used
  const T* bias;          ///< [columns] or null
  void* y;                ///< first output
  std::int64_t y_stride;  ///< elements between rows of y
  bool y_is_f32;          ///< else y is T
};

/// Packs rows in the order in which a MatmulBlock reads them: tile by tile, in each k / pair, then
/// row, then k%pair. A block's rows may be packed in parts. Every part but the last has a multiple
/// of kTileRowsMultiple rows; the last has more than that, unless it is the only part.
template <class T>
struct RowPacking {
  const T* x;
  std::int64_t x_stride;
  std::int64_t rows;
  std::int64_t all_rows;  ///< of the whole block
  std::int64_t k;         ///< as given
  std::int64_t padded_k;  ///< rounded up to kPair<T>
  T* packed;              ///< [rows · padded_k]
};

/// One row block of attention over panelled keys and values, which are T, or e4m3 with scales; see
/// attention.inl.
template <class T, class Kept = T>
struct AttentionBlock {
  const T* q;  ///< [rows, head_dim] at q_stride
  std::int64_t q_stride;
  std::int64_t rows;
  std::int64_t head_dim;
  const Kept* const* key_blocks;  ///< block j holds keys [j · block_keys, …) in panels
  const Kept* const* value_blocks;
  std::int64_t block_keys;       ///< a multiple of 16 that divides 128
  const std::int64_t* row_keys;  ///< [rows] keys that a row sees: its own position + 1, or all
  float scale;
  T* y;  ///< [rows, head_dim] at y_stride
  std::int64_t y_stride;
};
/// One token's key and value of one head, and its place in a KV block.
template <class T, class Kept = T>
struct TokenToBlock {
  const T* k;  ///< [head_dim]
  const T* v;
  std::int64_t head_dim;  ///< a multiple of kPair<T>; for e4m3 of 16
  std::int64_t key;       ///< place in the KV block
  std::int64_t block_keys;
  Kept* key_block;
  Kept* value_block;
};
/// The scales behind the values of a KV block of e4m3: [block_keys] of keys, then of values.
inline const float* scales_behind(const Float8E4M3* values, std::int64_t block_keys,
                                  std::int64_t head_dim) {
  return reinterpret_cast<const float*>(values + block_keys * head_dim);
}
inline float* scales_behind(Float8E4M3* values, std::int64_t block_keys, std::int64_t head_dim) {
  return reinterpret_cast<float*>(values + block_keys * head_dim);
}
/// One head's pairs (low[j], high[j]) turned by (cos[j], sin[j]); with each_step both products are
/// rounded to T before they are added.
template <class T>
struct Rotation {
  T* low;
  T* high;
  const float* cos;
  const float* sin;
  std::int64_t half;
  bool each_step;
};
inline constexpr int kAttentionTile = 128;
inline constexpr int kAttentionSplit = 512;
inline constexpr int kMaxHeadDim = 256;

template <class T>
struct Kernels {
  void (*pack_rows)(const RowPacking<T>&);
  void (*matmul)(const MatmulBlock<T>&);
  void (*attention)(const AttentionBlock<T>&);
  void (*attention_fp8)(const AttentionBlock<T, Float8E4M3>&);
  void (*write_token)(const TokenToBlock<T>&);
  void (*write_token_fp8)(const TokenToBlock<T, Float8E4M3>&);
  void (*rotate)(const Rotation<T>&);
  /// n elements each; y may be x. silu_mul: gate and up → y.
  void (*silu_mul)(const T* gate, const T* up, T* y, std::int64_t n);
  void (*gelu_tanh)(const T* x, T* y, std::int64_t n);
  void (*gelu_erf)(const T* x, T* y, std::int64_t n);
  void (*add)(const T* a, const T* b, T* y, std::int64_t n);
  void (*cast_from_f32)(const float* x, T* y, std::int64_t n);
  void (*rms_norm)(const T* x, const T* weight, float eps, T* y, std::int64_t n);
  void (*layer_norm)(const T* x, const T* weight, const T* bias, float eps, T* y, std::int64_t n);
  /// x += branch first; an f32 branch is rounded to T before.
  void (*add_f32)(const T* a, const float* b, T* y, std::int64_t n);
  void (*add_rms_norm)(T* x, const T* branch, const T* weight, float eps, T* y, std::int64_t n);
  void (*add_f32_rms_norm)(T* x, const float* branch, const T* weight, float eps, T* y,
                           std::int64_t n);
  void (*add_layer_norm)(T* x, const T* branch, const T* weight, const T* bias, float eps, T* y,
                         std::int64_t n);
  /// Index of the largest of n elements, the first of equal ones; NaN counts as infinity.
  std::int64_t (*largest)(const T* x, std::int64_t n);
};

/// The table for an instruction set that this machine has.
template <class T>
const Kernels<T>& kernels(CpuIsa isa);

/// One per instruction set; defined by compiling table.simd.cpp with RETINUE_ISA set.
template <CpuIsa isa, class T>
Kernels<T> make_kernels();

}  // namespace retinue::ops::simd
