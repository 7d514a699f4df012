// Micro-kernels of y = x · Wᵀ. Included once by table.simd.cpp.
//
// Each output is one f32 accumulator that walks K upwards, one instruction per kPair elements; that
// is the whole order of the sum. It depends neither on how many rows or columns share a tile nor on
// how threads cut the work, so one row alone and a thousand rows give the same bits.

#pragma once

#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/kernels/cpu/simd/simd.h"

namespace retinue::ops::simd {
namespace {

/// acc + Σ over the pair of x · w, for sixteen outputs. `x` is one packed operand of a row.
RETINUE_INLINE Vf dot_step(const Vf& acc, const float* w, const float* x) {
  return fma(splat(*x), load(w), acc);
}

/// The same for bf16; `w` has sixteen pairs.
RETINUE_INLINE Vf dot_step(const Vf& acc, const Vu& w, const BFloat16* x) {
  std::uint32_t pair;
  std::memcpy(&pair, x, sizeof pair);
  Vu pairs = splat(pair);
#if defined(__AVX512BF16__)
  return reinterpret_cast<Vf>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(acc),
                                               reinterpret_cast<__m512bh>(w),
                                               reinterpret_cast<__m512bh>(pairs)));
#else
  stay_vector(pairs);
  const Vf second = fma(as_float(pairs & 0xFFFF0000U), as_float(w & 0xFFFF0000U), acc);
  return fma(as_float(pairs << 16), as_float(w << 16), second);
#endif
}
RETINUE_INLINE Vf dot_step(const Vf& acc, const BFloat16* w, const BFloat16* x) {
  return dot_step(acc, load_bits<Vu>(w), x);
}

/// How many accumulators of sixteen lanes the registers hold, how many rows share a tile, and how
/// many rows share it where one tile can hold all: weights then pass the caches once.
#if defined(__AVX512F__)
inline constexpr int kAccumulators = 24;
inline constexpr int kTileRows = 8;
inline constexpr int kOnlyTileRows = 16;
#elif defined(__AVX2__)
inline constexpr int kAccumulators = 6;
inline constexpr int kTileRows = 6;
inline constexpr int kOnlyTileRows = 6;
#else
inline constexpr int kAccumulators = 2;
inline constexpr int kTileRows = 2;
inline constexpr int kOnlyTileRows = 2;
#endif
/// Prefetchers of current cores follow eight streams: eight panels.
template <int rows>
inline constexpr int kTilePanels = kAccumulators / rows < 8 ? kAccumulators / rows : 8;

/// Binary counter of pending subtrees: leaf sums meet as ((0+1)+(2+3))+((4+5)+(6+7)).
template <int size>
struct LeafTree {
  Vf pending[4][size];

  /// Takes leaf number `leaf` of `leaves`; after the last one the sum is in `acc`.
  RETINUE_INLINE void push(Vf (&acc)[size], std::int64_t leaf) {
    int level = 0;
    for (; (leaf >> level) & 1; ++level)
      for (int i = 0; i < size; ++i) acc[i] = pending[level][i] + acc[i];
    for (int i = 0; i < size; ++i) pending[level][i] = acc[i];
  }
};

/// How far ahead packed rows are prefetched. They are too many for the inner caches, and their
/// stream is too slow for the hardware prefetchers to keep alive (with the loop over rows outside,
/// 0.84 → 0.94 of the peak at 1024 rows of 5120, Zen 4).
inline constexpr int kRowPrefetchBytes = 2048;
inline constexpr int kLine = 64;

/// Cache lines to prefetch: `lines` at every step, from `at` on.
struct Ahead {
  const char* at = nullptr;
  int lines = 0;

  RETINUE_INLINE void step() {
    for (int i = 0; i < lines; ++i, at += kLine) __builtin_prefetch(at, 0, 2);
  }
};

/// acc[r, p] += the steps' products. `w` walks each panel. `x` walks a packed row tile, or, with a
/// `row_stride`, rows of which each is contiguous.
template <class T, int rows, int panels, int row_stride = 0>
RETINUE_INLINE void accumulate(const T* x, const T* w, std::int64_t panel_stride,
                               std::int64_t steps, Vf (&acc)[rows * panels], Ahead& ahead) {
  constexpr int kStep = kPair<T>;
  constexpr int kNextRow = row_stride == 0 ? kStep : row_stride;
  for (std::int64_t step = 0; step < steps; ++step) {
    if constexpr (row_stride == 0) {
      __builtin_prefetch(reinterpret_cast<const char*>(x) + kRowPrefetchBytes);
      ahead.step();
    }
    // Rows outside: only one row's operand needs a register at a time, and the panels' operands
    // keep theirs.
#pragma GCC unroll 32
    for (int r = 0; r < rows; ++r)
#pragma GCC unroll 32
      for (int p = 0; p < panels; ++p)
        acc[r * panels + p] = dot_step(acc[r * panels + p], w + p * panel_stride, x + r * kNextRow);
    w += kPanel * kStep;
    x += row_stride == 0 ? rows * kStep : kStep;
  }
}

template <class T, int rows, int panels>
void tile(const MatmulBlock<T>& b, std::int64_t row, std::int64_t panel, Ahead ahead) {
  constexpr int kStep = kPair<T>;
  const std::int64_t panel_stride = b.k * kPanel;
  const T* x = b.x + row * b.k;
  const T* w = b.panels + panel * panel_stride;
  Vf acc[rows * panels] = {};
  if (b.leaf_k == b.k) {
    accumulate<T, rows, panels>(x, w, panel_stride, b.k / kStep, acc, ahead);
  } else {
    LeafTree<rows * panels> tree;
    const std::int64_t leaves = b.k / b.leaf_k;
    for (std::int64_t leaf = 0; leaf < leaves; ++leaf) {
      for (Vf& a : acc) a = Vf{};
      accumulate<T, rows, panels>(x + leaf * b.leaf_k * rows, w + leaf * b.leaf_k * kPanel,
                                  panel_stride, b.leaf_k / kStep, acc, ahead);
      tree.push(acc, leaf);
    }
  }
  for (int p = 0; p < panels; ++p) {
    const std::int64_t column = (panel + p) * kPanel;
    const std::int64_t used = b.columns - column < kPanel ? b.columns - column : kPanel;
    Vf bias{};
    if (b.bias != nullptr)
      bias = used == kPanel ? load(b.bias + column) : load_part(b.bias + column, used);
    for (int r = 0; r < rows; ++r) {
      const Vf value = b.bias != nullptr ? acc[r * panels + p] + bias : acc[r * panels + p];
      const std::int64_t at = (row + r) * b.y_stride + column;
      if (b.y_is_f32) {
        float* y = static_cast<float*>(b.y) + at;
        used == kPanel ? store(y, value) : store_part(y, value, used);
      } else {
        T* y = static_cast<T*>(b.y) + at;
        used == kPanel ? store(y, value) : store_part(y, value, used);
      }
    }
  }
}

/// The height of the next tile when so many rows are left: kTileRows, and the last two tiles share
/// evenly. A tile of one or two rows has few sums, which wait for each other. (A step of 11 rows as
/// 8 + 2 + 1 took a tenth longer than one of 12 as 8 + 4, Zen 4.)
RETINUE_INLINE std::int64_t tile_rows(std::int64_t all, std::int64_t left) {
  if (all <= kOnlyTileRows) return all;
  if (left > 2 * kTileRows) return kTileRows;
  return left > kTileRows ? (left + 1) / 2 : left;
}

/// All rows against the panels [panel, panel + panels), which stay in cache while the rows stream.
/// Meanwhile the next panels are prefetched, in equal parts beside each tile: a few dozen rows then
/// take the longer of reading weights and multiplying, and not their sum.
template <class T, int tallest, int panels>
class PanelGroup {
 public:
  PanelGroup(const MatmulBlock<T>& block, std::int64_t panel)
      : block_(block),
        panel_(panel),
        tiles_(tallest > kTileRows ? 1 : (block.rows + kTileRows - 1) / kTileRows) {}

  void run() {
    for (std::int64_t row = 0, rows = 0; row < block_.rows; row += rows, ++tile_) {
      rows = tile_rows(block_.rows, block_.rows - row);
      run_tile<tallest>(row, rows);
    }
  }

 private:
  template <int rows>
  void run_tile(std::int64_t row, std::int64_t wanted) {
    if constexpr (rows > 1 && tallest <= kTileRows)
      if (wanted < rows) return run_tile<rows - 1>(row, wanted);
    tile<T, rows, panels>(block_, row, panel_, ahead());
  }
  /// The part of the next panels that is prefetched beside the current tile.
  Ahead ahead() const {
    const auto lines_before = [&](std::int64_t tile) {
      return (tile * panels + tiles_ - 1) / tiles_;
    };
    const T* next = block_.panels + (panel_ + panels) * block_.k * kPanel;
    const std::int64_t first = lines_before(tile_);
    return {reinterpret_cast<const char*>(next) + first * (block_.k / kPair<T>)*kLine,
            static_cast<int>(lines_before(tile_ + 1) - first)};
  }

  const MatmulBlock<T>& block_;
  std::int64_t panel_;
  std::int64_t tiles_;
  std::int64_t tile_ = 0;
};

/// Takes as many panels at once as fill the registers beside the tallest tile, which is the first.
template <class T, int tallest>
void matmul_block_of(const MatmulBlock<T>& b) {
  if constexpr (tallest > 1)
    if (tile_rows(b.rows, b.rows) < tallest) return matmul_block_of<T, tallest - 1>(b);
  constexpr int kPanels = kTilePanels<tallest>;
  const std::int64_t all = (b.columns + kPanel - 1) / kPanel;
  std::int64_t panel = 0;
  for (; panel + kPanels <= all; panel += kPanels)
    PanelGroup<T, tallest, kPanels>(b, panel).run();
  for (; panel < all; ++panel) PanelGroup<T, tallest, 1>(b, panel).run();
}

template <class T>
void matmul_block(const MatmulBlock<T>& b) {
  matmul_block_of<T, kOnlyTileRows>(b);
}

template <class T>
void pack_rows(const RowPacking<T>& p) {
  constexpr int kStep = kPair<T>;
  for (std::int64_t row = 0, rows = 0; row < p.rows; row += rows) {
    rows = tile_rows(p.all_rows, p.rows - row);
    T* out = p.packed + row * p.padded_k;
    for (std::int64_t r = 0; r < rows; ++r) {
      const T* x = p.x + (row + r) * p.x_stride;
      T* to = out + r * kStep;
      std::int64_t k = 0;
      for (; k + kStep <= p.k; k += kStep, to += rows * kStep)
        std::memcpy(to, x + k, kStep * sizeof(T));
      if constexpr (kStep == 2)
        if (k < p.padded_k) to[0] = x[k], to[1] = T{};
    }
  }
}

}  // namespace
}  // namespace retinue::ops::simd
