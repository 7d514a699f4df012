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

/// Puts one token's key and value of one head into a KV block. Clears the value after an even key:
/// until its own token arrives it is multiplied by a probability of zero, and a stale NaN
/// would show.
template <class T>
void write_token(const TokenToBlock<T>& t) {
  constexpr int kStep = kPair<T>;
  // A key is an output of q · kᵀ, its channels are the inner dimension.
  T* to = t.key_block + t.key / kPanel * kPanel * t.head_dim + t.key % kPanel * kStep;
  for (std::int64_t c = 0; c < t.head_dim; c += kStep, to += kPanel * kStep)
    std::memcpy(to, t.k + c, kStep * sizeof(T));
  // For a value, channels are the outputs and keys the inner dimension.
  to = t.value_block + t.key / kStep * kPanel * kStep;
  for (std::int64_t c = 0; c < t.head_dim; c += kPanel, to += t.block_keys * kPanel) {
    const std::int64_t left = t.head_dim - c;
    const Vf value = left >= kPanel ? load(t.v + c) : load_part(t.v + c, left);
    if constexpr (kStep == 1) {
      store(to, value);
    } else {  // load() leaves a bf16 in the upper half of its lane
      Vu pair;
      std::memcpy(&pair, to, sizeof pair);
      pair = t.key % 2 == 0 ? as_bits(value) >> 16 : (pair & 0xFFFFU) | as_bits(value);
      std::memcpy(to, &pair, sizeof pair);
    }
  }
}

template <class T, int rows>
class AttentionRows {
 public:
  AttentionRows(const AttentionBlock<T>& b, std::int64_t first) : b_(b), first_(first) {
    pack_rows(RowPacking<T>{b.q + first * b.q_stride, b.q_stride, rows, rows, b.head_dim,
                            b.head_dim, q_});
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
    Vf largest;  ///< lane r is row r, as in sum
    Vf sum;
    Vf out[rows][kMaxPanels];

    void reset(std::int64_t panels) {
      largest = splat(kNone), sum = Vf{};
      for (int r = 0; r < rows; ++r)
        for (std::int64_t p = 0; p < panels; ++p) out[r][p] = Vf{};
    }
  };

  void tile(std::int64_t key, std::int64_t count) {
    scores(key, count);
    softmax(key, count);
    values(key, count);
  }

  /// scores_[r][j] = q_r · k_(key + j)
  void scores(std::int64_t key, std::int64_t count) {
    constexpr int kGroup = kTilePanels<rows> >= 2 ? 2 : 1;
    const std::int64_t stride = b_.head_dim * kPanel;
    for (std::int64_t at = 0; at < count;) {
      const std::int64_t block = (key + at) / b_.block_keys, inside = (key + at) % b_.block_keys;
      const T* w = b_.key_blocks[block] + inside / kPanel * stride;
      const std::int64_t left =
          b_.block_keys - inside < count - at ? b_.block_keys - inside : count - at;
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
    Ahead nothing;
    accumulate<T, rows, panels>(q_, w, stride, b_.head_dim / kStep, acc, nothing);
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < panels; ++p) store(&scores_[r][at + p * kPanel], acc[r * panels + p]);
  }

  /// Scales, masks, updates maximum and sum; probabilities_ = e^(score - maximum).
  void softmax(std::int64_t key, std::int64_t count) {
    const std::int64_t vectors = (count + kPanel - 1) / kPanel;
    const Vi lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Vf found = splat(kNone);
    for (int r = 0; r < rows; ++r) {
      const std::int64_t seen = b_.row_keys[first_ + r] - key;
      const auto visible = static_cast<std::int32_t>(seen < 0 ? 0 : (seen < count ? seen : count));
      // Masks vectors of which a row sees a part or nothing.
      for (std::int64_t v = visible / kPanel; v < vectors; ++v) {
        float* score = &scores_[r][v * kPanel];
        const Vi index = lane + static_cast<std::int32_t>(v * kPanel);
        store(score, select(index < visible, load(score), splat(kNone)));
      }
      Vf largest = splat(kNone);
      for (std::int64_t v = 0; v < vectors; ++v)
        largest = max(load(&scores_[r][v * kPanel]) * b_.scale, largest);
      found[r] = max_lanes(largest);
    }
    // From here on, lane r is row r.
    const Vf after = max(found, partial_.largest);
    const Vf base = select(after == kNone, Vf{}, after);  // nothing seen: e^(-inf - 0) is 0
    shrink_ = exp(partial_.largest - base);
    partial_.largest = after;
    Vf sums{};
    for (int r = 0; r < rows; ++r) {
      const float row_base = base[r];
      Vf sum{};
      for (std::int64_t v = 0; v < vectors; ++v) {
        const Vf p = exp(load(&scores_[r][v * kPanel]) * b_.scale - row_base);
        sum += p;
        store_normal(&probabilities_[r][v * kPanel], p);
      }
      sums[r] = sum_lanes(sum);
    }
    partial_.sum = partial_.sum * shrink_ + sums;
  }

  /// out = out · shrink + probabilities · v
  void values(std::int64_t key, std::int64_t count) {
    constexpr int kGroup = kTilePanels<rows> >= 2 ? 2 : 1;
    std::int64_t p = 0;
    for (; kGroup == 2 && p + 2 <= value_panels_; p += 2) value_panels<kGroup>(p, key, count);
    for (; p < value_panels_; ++p) value_panels<1>(p, key, count);
  }
  template <int panels>
  RETINUE_INLINE void value_panels(std::int64_t panel, std::int64_t key, std::int64_t count) {
    Vf acc[rows * panels] = {};
    const std::int64_t stride = b_.block_keys * kPanel;
    Ahead nothing;
    for (std::int64_t at = 0; at < count;) {
      const std::int64_t block = (key + at) / b_.block_keys, inside = (key + at) % b_.block_keys;
      const std::int64_t left =
          b_.block_keys - inside < count - at ? b_.block_keys - inside : count - at;
      accumulate<T, rows, panels, kAttentionTile>(
          probabilities_[0] + at, b_.value_blocks[block] + panel * stride + inside * kPanel, stride,
          (left + kStep - 1) / kStep, acc, nothing);
      at += left;
    }
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < panels; ++p)
        partial_.out[r][panel + p] =
            fma(partial_.out[r][panel + p], splat(shrink_[r]), acc[r * panels + p]);
  }

  void merge(std::int64_t begin) {
    if (begin == 0) {
      total_.largest = partial_.largest, total_.sum = partial_.sum;
      for (int r = 0; r < rows; ++r)
        for (std::int64_t p = 0; p < value_panels_; ++p) total_.out[r][p] = partial_.out[r][p];
      return;
    }
    const Vf after = max(partial_.largest, total_.largest);
    const Vf keep = exp(total_.largest - after), add = exp(partial_.largest - after);
    for (int r = 0; r < rows; ++r) {
      if (begin >= b_.row_keys[first_ + r]) continue;
      total_.largest[r] = after[r];
      total_.sum[r] = total_.sum[r] * keep[r] + partial_.sum[r] * add[r];
      for (std::int64_t p = 0; p < value_panels_; ++p)
        total_.out[r][p] =
            fma(partial_.out[r][p], splat(add[r]), total_.out[r][p] * splat(keep[r]));
    }
  }

  const AttentionBlock<T>& b_;
  std::int64_t first_;
  std::int64_t keys_ = 0;
  std::int64_t value_panels_;
  alignas(64) T q_[rows * kMaxHeadDim];
  alignas(64) float scores_[rows][kAttentionTile];
  alignas(64) T probabilities_[rows][kAttentionTile];
  Vf shrink_;
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
