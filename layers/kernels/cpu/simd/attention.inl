// One block of query rows against panelled keys and values. Included once by table.simd.cpp.
//
// Keys are walked from 0 in tiles of 128 with a running maximum (Milakov & Gimelshein 2018,
// arXiv:1805.02867); every 512 keys a new partial result starts, and partial results are merged in
// order. Masked keys add exact zeros and whole masked splits are skipped per row, so a row's bits
// depend on that row's keys alone: prefill, chunked prefill and decode agree.

#pragma once

#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/kernels/cpu/simd/matmul.inl"
#include "layers/kernels/cpu/simd/simd.h"

namespace retinue::ops::simd {
namespace {

template <class T, int rows>
class AttentionRows {
 public:
  AttentionRows(const AttentionBlock<T>& b, std::int64_t first) : b_(b), first_(first) {
    pack_rows(
        RowPacking<T>{b.q + first * b.q_stride, b.q_stride, rows, b.head_dim, b.head_dim, q_});
    value_panels_ = (b.head_dim + kPanel - 1) / kPanel;
    for (int r = 0; r < rows; ++r)
      keys_ = b.row_keys[first + r] > keys_ ? b.row_keys[first + r] : keys_;
  }

  void run() {
    for (std::int64_t begin = 0; begin < keys_; begin += kAttentionSplit) {
      const std::int64_t end = begin + kAttentionSplit < keys_ ? begin + kAttentionSplit : keys_;
      partial_.reset(value_panels_);
      for (std::int64_t key = begin; key < end; key += kAttentionTile)
        tile(key, end - key < kAttentionTile ? end - key : kAttentionTile);
      merge(begin);
    }
    for (int r = 0; r < rows; ++r) {
      T* y = b_.y + (first_ + r) * b_.y_stride;
      for (std::int64_t p = 0; p < value_panels_; ++p) {
        const Vf value = total_.out[r][p] / total_.sum[r];
        const std::int64_t left = b_.head_dim - p * kPanel;
        left >= kPanel ? store(y + p * kPanel, value) : store_part(y + p * kPanel, value, left);
      }
    }
  }

 private:
  static constexpr int kStep = kPair<T>;
  static constexpr int kMaxPanels = kMaxHeadDim / kPanel;
  static constexpr float kNone = -__builtin_inff();

  struct State {
    float largest[rows];
    float sum[rows];
    Vf out[rows][kMaxPanels];

    void reset(std::int64_t panels) {
      for (int r = 0; r < rows; ++r) {
        largest[r] = kNone, sum[r] = 0;
        for (std::int64_t p = 0; p < panels; ++p) out[r][p] = Vf{};
      }
    }
  };

  void tile(std::int64_t key, std::int64_t count) {
    scores(key, count);
    softmax(key, count);
    values(key, count);
  }

  /// scores_[r][j] = q_r · k_(key + j)
  void scores(std::int64_t key, std::int64_t count) {
    constexpr int kGroup = kTilePanels < rows >> 2 ? 2 : kTilePanels<rows>;
    const std::int64_t stride = b_.head_dim * kPanel;
    for (std::int64_t at = 0; at < count;) {
      const std::int64_t page = (key + at) / b_.page_keys, inside = (key + at) % b_.page_keys;
      const T* w = b_.key_pages[page] + inside / kPanel * stride;
      const std::int64_t left =
          b_.page_keys - inside < count - at ? b_.page_keys - inside : count - at;
      std::int64_t done = 0;
      for (; kGroup == 2 && left - done > kPanel; done += 2 * kPanel, w += 2 * stride)
        score_panels<kGroup>(w, stride, at + done);
      for (; done < left; done += kPanel, w += stride) score_panels<1>(w, stride, at + done);
      at += left;
    }
  }
  template <int panels>
  RETINUE_INLINE void score_panels(const T* w, std::int64_t stride, std::int64_t at) {
    Vf acc[rows * panels] = {};
    accumulate<T, rows, panels>(q_, w, stride, b_.head_dim / kStep, acc);
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < panels; ++p) store(&scores_[r][at + p * kPanel], acc[r * panels + p]);
  }

  /// Masks, scales, updates maximum and sum; probabilities_ = e^(score - maximum), packed as rows.
  void softmax(std::int64_t key, std::int64_t count) {
    const std::int64_t vectors = (count + kPanel - 1) / kPanel;
    const Vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int r = 0; r < rows; ++r) {
      const std::int64_t seen = b_.row_keys[first_ + r] - key;
      const auto visible = static_cast<std::int32_t>(seen < 0 ? 0 : (seen < count ? seen : count));
      Vf largest = splat(kNone);
      for (std::int64_t v = 0; v < vectors; ++v) {
        const Vi index = lane + static_cast<std::int32_t>(v * kPanel);
        const Vf score = load(&scores_[r][v * kPanel]) * b_.scale;
        const Vf masked = select(index < visible, score, splat(kNone));
        store(&scores_[r][v * kPanel], masked);
        largest = max(masked, largest);
      }
      const float before = partial_.largest[r];
      const float found = max_lanes(largest);
      const float after = found > before ? found : before;
      const float base = after == kNone ? 0 : after;  // nothing seen yet: e^(-inf - 0) is 0
      Vf sum{};
      for (std::int64_t v = 0; v < vectors; ++v) {
        const Vf p = exp(load(&scores_[r][v * kPanel]) - base);
        sum += p;
        T rounded[kPanel];
        store(rounded, p);
        for (int j = 0; j < kPanel; j += kStep)
          std::memcpy(&probabilities_[((v * kPanel + j) / kStep * rows + r) * kStep], rounded + j,
                      kStep * sizeof(T));
      }
      const float shrink = exp(splat(before - base))[0];
      partial_.largest[r] = after;
      partial_.sum[r] = partial_.sum[r] * shrink + sum_lanes(sum);
      shrink_[r] = shrink;
    }
  }

  /// out = out · shrink + probabilities · v
  void values(std::int64_t key, std::int64_t count) {
    constexpr int kGroup = kTilePanels < rows >> 2 ? 2 : kTilePanels<rows>;
    std::int64_t p = 0;
    for (; kGroup == 2 && p + 2 <= value_panels_; p += 2) value_panels<kGroup>(p, key, count);
    for (; p < value_panels_; ++p) value_panels<1>(p, key, count);
  }
  template <int panels>
  RETINUE_INLINE void value_panels(std::int64_t panel, std::int64_t key, std::int64_t count) {
    Vf acc[rows * panels] = {};
    const std::int64_t stride = b_.page_keys * kPanel;
    for (std::int64_t at = 0; at < count;) {
      const std::int64_t page = (key + at) / b_.page_keys, inside = (key + at) % b_.page_keys;
      const std::int64_t left =
          b_.page_keys - inside < count - at ? b_.page_keys - inside : count - at;
      accumulate<T, rows, panels>(probabilities_ + at * rows,
                                  b_.value_pages[page] + panel * stride + inside * kPanel, stride,
                                  (left + kStep - 1) / kStep, acc);
      at += left;
    }
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < panels; ++p)
        partial_.out[r][panel + p] =
            fma(partial_.out[r][panel + p], splat(shrink_[r]), acc[r * panels + p]);
  }

  void merge(std::int64_t begin) {
    for (int r = 0; r < rows; ++r) {
      if (begin == 0) {
        total_.largest[r] = partial_.largest[r], total_.sum[r] = partial_.sum[r];
        for (std::int64_t p = 0; p < value_panels_; ++p) total_.out[r][p] = partial_.out[r][p];
        continue;
      }
      if (begin >= b_.row_keys[first_ + r]) continue;
      const float a = total_.largest[r], b = partial_.largest[r];
      const float after = a > b ? a : b;
      const float keep = exp(splat(a - after))[0], add = exp(splat(b - after))[0];
      total_.largest[r] = after;
      total_.sum[r] = total_.sum[r] * keep + partial_.sum[r] * add;
      for (std::int64_t p = 0; p < value_panels_; ++p)
        total_.out[r][p] = fma(partial_.out[r][p], splat(add), total_.out[r][p] * keep);
    }
  }

  const AttentionBlock<T>& b_;
  std::int64_t first_;
  std::int64_t keys_ = 0;
  std::int64_t value_panels_;
  alignas(64) T q_[rows * kMaxHeadDim];
  alignas(64) float scores_[rows][kAttentionTile];
  alignas(64) T probabilities_[rows * kAttentionTile];
  float shrink_[rows];
  State partial_, total_;
};

template <class T, int rows>
void attention_rows(const AttentionBlock<T>& b, std::int64_t row) {
  for (; b.rows - row >= rows; row += rows) AttentionRows<T, rows>(b, row).run();
  if constexpr (rows > 1) attention_rows<T, rows / 2>(b, row);
}

template <class T>
void attention_block(const AttentionBlock<T>& b) {
  attention_rows<T, kTileRows>(b, 0);
}

}  // namespace
}  // namespace retinue::ops::simd
