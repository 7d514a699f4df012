// Micro-kernels of products with weights of e4m3; ops/fp8_matmul.h has the sum. Included once by
// table.simd.cpp.
//
// e4m3 values are exact in bf16, so a group of 128 inputs is a bf16 product. A few rows widen the
// weights in registers, as they read them: then a step reads half the bytes of bf16. More rows than
// one tile holds widen some panels into the cache first, and all tiles multiply from there. Both
// compute the same bits.

#pragma once

#include "layers/kernels/cpu/simd/e4m3.inl"
#include "layers/kernels/cpu/simd/fp8.h"
#include "layers/kernels/cpu/simd/matmul.inl"

namespace retinue::ops::simd {
namespace {

inline constexpr std::int64_t kGroup = 128;

#if defined(__AVX512F__)
/// Whether each byte of two steps of all panels has an exponent.
template <int panels>
RETINUE_INLINE bool are_normal(const Float8E4M3* w, std::int64_t panel_stride) {
  __mmask64 without = 0;
#pragma GCC unroll 8
  for (int p = 0; p < panels; ++p) {
    __m512i bytes;
    std::memcpy(&bytes, w + p * panel_stride, sizeof bytes);
    without |= _mm512_testn_epi8_mask(bytes, _mm512_set1_epi8(kExponent));
  }
  return without == 0;
}
#else
RETINUE_INLINE const Float8E4M3* load_bytes(const Float8E4M3* p) { return p; }
RETINUE_INLINE Vu widen_normal(const Float8E4M3* p) { return widen(p); }
template <int panels>
RETINUE_INLINE bool are_normal(const Float8E4M3*, std::int64_t) {
  return true;
}
#endif

/// acc[r, p] += the products of one step.
template <int rows, int panels, bool normal>
RETINUE_INLINE void accumulate_step(const BFloat16* x, const Float8E4M3* w,
                                    std::int64_t panel_stride, Vf (&acc)[rows * panels]) {
  Vu operand[panels];
#pragma GCC unroll 8
  for (int p = 0; p < panels; ++p) {
    const auto bytes = load_bytes(w + p * panel_stride);
    operand[p] = normal ? widen_normal(bytes) : widen(bytes);
  }
#pragma GCC unroll 32
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < panels; ++p)
      acc[r * panels + p] = dot_step(acc[r * panels + p], operand[p], x + r * 2);
}

/// acc[r, p] += the products of one group, weights widened on the way. Two steps take a line of each
/// panel, and meanwhile the next panels' are prefetched. One byte in a few thousand has no exponent:
/// a branch is cheaper than the general case each time.
template <int rows, int panels>
RETINUE_INLINE void accumulate_group(const BFloat16* x, const Float8E4M3* w,
                                     std::int64_t panel_stride, Vf (&acc)[rows * panels],
                                     Ahead& ahead) {
  constexpr int kStep = kPanel * 2;
  for (std::int64_t k = 0; k < kGroup; k += 4, w += 2 * kStep, x += rows * 4) {
    ahead.step();
    if (are_normal<panels>(w, panel_stride)) [[likely]] {
      accumulate_step<rows, panels, true>(x, w, panel_stride, acc);
      accumulate_step<rows, panels, true>(x + rows * 2, w + kStep, panel_stride, acc);
    } else {
      accumulate_step<rows, panels, false>(x, w, panel_stride, acc);
      accumulate_step<rows, panels, false>(x + rows * 2, w + kStep, panel_stride, acc);
    }
  }
}

/// Sums of `rows` rows and `panels` panels, from widened panels or from e4m3.
template <int rows, int panels, bool widened>
void fp8_tile(const Fp8Block& b, std::int64_t row, std::int64_t panel) {
  constexpr int kSums = rows * panels;
  const std::int64_t panel_stride = b.k * kPanel, groups = b.k / kGroup;
  const std::int64_t groups_per_leaf = b.leaf_k / kGroup;
  const BFloat16* x = b.x + row * b.k;
  const Float8E4M3* w = b.panels + panel * panel_stride;
  const BFloat16* wide = b.widened;
  const float* x_scales = b.x_scales + row * groups;
  const float* scales = b.scales + panel * groups * kPanel;
  Vf total[kSums] = {};
  LeafTree<kSums> tree;
  // Widened panels are in the cache, where hardware prefetches them.
  const Float8E4M3* next = w + panels * panel_stride;
  Ahead ahead{reinterpret_cast<const char*>(next), widened ? 0 : panels};
  for (std::int64_t group = 0; group < groups; ++group) {
    Vf acc[kSums] = {};
    if constexpr (widened)
      accumulate<BFloat16, rows, panels>(x + group * kGroup * rows, wide + group * kGroup * kPanel,
                                         panel_stride, kGroup / 2, acc, ahead);
    else
      accumulate_group<rows, panels>(x + group * kGroup * rows, w + group * kGroup * kPanel,
                                     panel_stride, acc, ahead);
    for (int p = 0; p < panels; ++p) {
      const Vf scale = load(scales + (p * groups + group) * kPanel);
      for (int r = 0; r < rows; ++r)
        total[r * panels + p] =
            fma(acc[r * panels + p], scale * x_scales[r * groups + group], total[r * panels + p]);
    }
    if (groups_per_leaf == groups || (group + 1) % groups_per_leaf != 0) continue;
    tree.push(total, group / groups_per_leaf);
    if (group + 1 < groups)
      for (Vf& sum : total) sum = Vf{};
  }
  for (int p = 0; p < panels; ++p) {
    const std::int64_t column = (panel + p) * kPanel;
    const std::int64_t used = b.columns - column < kPanel ? b.columns - column : kPanel;
    for (int r = 0; r < rows; ++r) {
      const std::int64_t at = (row + r) * b.y_stride + column;
      if (b.y_is_f32)
        store_part(static_cast<float*>(b.y) + at, total[r * panels + p], used);
      else
        store_part(static_cast<BFloat16*>(b.y) + at, total[r * panels + p], used);
    }
  }
}

/// Tiles of `tallest` rows or fewer.
template <int tallest, int panels, bool widened>
void fp8_tile_of(const Fp8Block& b, std::int64_t row, std::int64_t rows, std::int64_t panel) {
  if constexpr (tallest > 1)
    if (rows < tallest) return fp8_tile_of<tallest - 1, panels, widened>(b, row, rows, panel);
  fp8_tile<tallest, panels, widened>(b, row, panel);
}

/// All rows against panels that are widened once.
template <int panels>
void fp8_panels_widened(const Fp8Block& b, std::int64_t panel) {
  widen_all(b.panels + panel * b.k * kPanel, panels * b.k * kPanel, b.widened);
  for (std::int64_t row = 0, rows = 0; row < b.rows; row += rows) {
    rows = tile_rows(b.rows, b.rows - row);
    fp8_tile_of<kTileRows, panels, true>(b, row, rows, panel);
  }
}

/// One tile that holds all rows. Fewer sums than a bf16 tile has: the widened operands, and what
/// widens them, need registers too.
template <int rows>
void fp8_one_tile(const Fp8Block& b) {
  if constexpr (rows > 1)
    if (b.rows < rows) return fp8_one_tile<rows - 1>(b);
  constexpr int kFit = kAccumulators * 2 / 3 / rows;
  constexpr int kPanels = kFit < 1 ? 1 : kFit < 8 ? kFit : 8;
  const std::int64_t all = (b.columns + kPanel - 1) / kPanel;
  std::int64_t panel = 0;
  for (; panel + kPanels <= all; panel += kPanels) fp8_tile<rows, kPanels, false>(b, 0, panel);
  if constexpr (kPanels > 1)
    for (; panel < all; ++panel) fp8_tile<rows, 1, false>(b, 0, panel);
}

void fp8_matmul_block(const Fp8Block& b) {
  static_assert(kTilePanels<kTileRows> <= kWidenedPanels);
  if (b.rows <= kOnlyTileRows) return fp8_one_tile<kOnlyTileRows>(b);
  constexpr int kPanels = kTilePanels<kTileRows>;
  const std::int64_t all = (b.columns + kPanel - 1) / kPanel;
  std::int64_t panel = 0;
  for (; panel + kPanels <= all; panel += kPanels) fp8_panels_widened<kPanels>(b, panel);
  for (; panel < all; ++panel) fp8_panels_widened<1>(b, panel);
}

/// One group of a row: its scale, for widened weights, and its values in pairs, `step` elements from pair to pair.
RETINUE_INLINE float quantize_group(const BFloat16* x, BFloat16* to, std::int64_t step) {
  const float scale = e4m3_scale(x, kGroup);
  for (int i = 0; i < kGroup; i += kLanes) {
    BFloat16 values[kLanes];
    store_rounded(values, divided_to_e4m3(x + i, scale));
    for (int j = 0; j < kLanes; j += 2, to += step) std::memcpy(to, values + j, 2 * sizeof *to);
  }
  return scale * kWidenedScale;
}

void quantize_rows(const Fp8Packing& p) {
  const std::int64_t groups = p.k / kGroup;
  for (std::int64_t row = 0, rows = 0; row < p.rows; row += rows) {
    rows = tile_rows(p.all_rows, p.rows - row);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t group = 0; group < groups; ++group)
        p.scales[(row + r) * groups + group] =
            quantize_group(p.x + (row + r) * p.x_stride + group * kGroup,
                           p.packed + row * p.k + group * kGroup * rows + r * 2, rows * 2);
  }
}

}  // namespace
}  // namespace retinue::ops::simd
