// One block of query rows against panelled keys and values. Included once by table.simd.cpp.
//
// Keys are walked from 0 in tiles of 128 with a running maximum (Milakov & Gimelshein 2018,
// arXiv:1805.02867); every 512 keys a new partial result starts, and partial results are merged in
// order. Masked keys add exact zeros and whole masked splits are skipped per row, so a row's bits
// depend on that row's keys alone: prefill, chunked prefill and decode agree.
//
// Keys and values of e4m3 are widened, some panels at a time, just before they are used. Their
// scales multiply scores and probabilities.

#pragma once

#include "layers/kernels/cpu/simd/e4m3.inl"
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
      const Vu bits = as_bits(value);
      store_bits(to, t.key % 2 == 0 ? bits >> 16 : (load_bits<Vu>(to) & 0xFFFFU) | bits);
    }
  }
}

/// As write_token, in panels that lie like those of T. The scale after an even key is cleared, too.
template <class T>
void write_token_fp8(const TokenToBlock<T, Float8E4M3>& t) {
  constexpr int kStep = kPair<T>;
  Float8E4M3 k[kMaxHeadDim], v[kMaxHeadDim];
  const float k_scale = e4m3_scale(t.k, t.head_dim), v_scale = e4m3_scale(t.v, t.head_dim);
  for (std::int64_t c = 0; c < t.head_dim; c += kLanes) {
    store_e4m3(k + c, divided_to_e4m3(t.k + c, k_scale));
    store_e4m3(v + c, divided_to_e4m3(t.v + c, v_scale));
  }
  Float8E4M3* to = t.key_block + t.key / kPanel * kPanel * t.head_dim + t.key % kPanel * kStep;
  for (std::int64_t c = 0; c < t.head_dim; c += kStep, to += kPanel * kStep)
    std::memcpy(to, k + c, kStep);
  const bool starts_pair = kStep == 2 && t.key % 2 == 0;
  to = t.value_block + t.key / kStep * kPanel * kStep;
  for (std::int64_t c = 0; c < t.head_dim; c += kPanel, to += t.block_keys * kPanel)
    for (std::int64_t i = 0; i < kPanel; ++i) {
      to[i * kStep + t.key % kStep] = v[c + i];
      if (starts_pair) to[i * kStep + 1] = {};
    }
  float* scales = scales_behind(t.value_block, t.block_keys, t.head_dim);
  scales[t.key] = k_scale, scales[t.block_keys + t.key] = v_scale;
  if (starts_pair) scales[t.block_keys + t.key + 1] = 0;
}

template <class T, class Kept, int rows>
class AttentionRows {
 public:
  AttentionRows(const AttentionBlock<T, Kept>& b, std::int64_t first) : b_(b), first_(first) {
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
  static constexpr bool kIsFp8 = std::is_same_v<Kept, Float8E4M3>;
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
      const Kept* w = b_.key_blocks[block] + inside / kPanel * stride;
      const std::int64_t left =
          b_.block_keys - inside < count - at ? b_.block_keys - inside : count - at;
      std::int64_t done = 0;
      if constexpr (kIsFp8)
        for (std::int64_t j = 0; j < left; j += kPanel) load_scales(block, inside + j, at + j);
      for (; kGroup == 2 && left - done > kPanel; done += 2 * kPanel, w += 2 * stride)
        score_panels<kGroup>(w, stride, at + done);
      for (; done < left; done += kPanel, w += stride) score_panels<1>(w, stride, at + done);
      at += left;
    }
  }
  template <int panels>
  RETINUE_INLINE void score_panels(const Kept* w, std::int64_t stride, std::int64_t at) {
    Vf acc[rows * panels] = {};
    Ahead nothing;
    accumulate<T, rows, panels>(q_, widened(w, panels * stride), stride, b_.head_dim / kStep, acc,
                                nothing);
    for (int r = 0; r < rows; ++r)
      for (int p = 0; p < panels; ++p) {
        Vf score = acc[r * panels + p];
        if constexpr (kIsFp8) score *= load(&key_scales_[at + p * kPanel]);
        store(&scores_[r][at + p * kPanel], score);
      }
  }

  /// The scales of sixteen keys of a KV block and of their values.
  RETINUE_INLINE void load_scales(std::int64_t block, std::int64_t inside, std::int64_t at) {
    const float* from = scales_behind(b_.value_blocks[block], b_.block_keys, b_.head_dim) + inside;
    store(&key_scales_[at], load(from) * kMakesUp<T>);
    store(&value_scales_[at], load(from + b_.block_keys) * kMakesUp<T>);
  }
  RETINUE_INLINE const T* widened(const Kept* w, std::int64_t n) {
    if constexpr (kIsFp8) {
      widen_all(w, n, wide_);
      return wide_;
    } else {
      return w;
    }
  }

  /// Scales, masks, updates maximum and sum; probabilities_ = e^(score - maximum).
  void softmax(std::int64_t key, std::int64_t count) {
    const std::int64_t vectors = (count + kPanel - 1) / kPanel;
    const Vi lane = numbers_from<Vi>();
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
    Vf base = select(after == kNone, Vf{}, after);  // nothing seen: e^(-inf - 0) is 0
    shrink_ = exp(partial_.largest - base);
    partial_.largest = after;
    Vf sums{};
    for (int r = 0; r < rows; ++r) {
      const float row_base = base[r];
      Vf sum{};
      for (std::int64_t v = 0; v < vectors; ++v) {
        const Vf p = exp(load(&scores_[r][v * kPanel]) * b_.scale - row_base);
        sum += p;
        if constexpr (kIsFp8)
          store_normal(&probabilities_[r][v * kPanel], p * load(&value_scales_[v * kPanel]));
        else
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
      const std::int64_t steps = (left + kStep - 1) / kStep;
      const Kept* w = b_.value_blocks[block] + panel * stride + inside * kPanel;
      if constexpr (kIsFp8) {
        constexpr std::int64_t kWideStride = kAttentionTile * kPanel;
        for (int p = 0; p < panels; ++p)
          widen_all(w + p * stride, (left + 1) / 2 * 2 * kPanel, wide_ + p * kWideStride);
        accumulate<T, rows, panels, kAttentionTile>(probabilities_[0] + at, wide_, kWideStride,
                                                    steps, acc, nothing);
      } else {
        accumulate<T, rows, panels, kAttentionTile>(probabilities_[0] + at, w, stride, steps, acc,
                                                    nothing);
      }
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
    Vf after = max(partial_.largest, total_.largest);
    Vf keep = exp(total_.largest - after), add = exp(partial_.largest - after);
    for (int r = 0; r < rows; ++r) {
      if (begin >= b_.row_keys[first_ + r]) continue;
      total_.largest[r] = after[r];
      total_.sum[r] = total_.sum[r] * keep[r] + partial_.sum[r] * add[r];
      for (std::int64_t p = 0; p < value_panels_; ++p)
        total_.out[r][p] =
            fma(partial_.out[r][p], splat(add[r]), total_.out[r][p] * splat(keep[r]));
    }
  }

  const AttentionBlock<T, Kept>& b_;
  std::int64_t first_;
  std::int64_t keys_ = 0;
  std::int64_t value_panels_;
  alignas(64) T q_[rows * kMaxHeadDim];
  alignas(64) float scores_[rows][kAttentionTile];
  alignas(64) T probabilities_[rows][kAttentionTile];
  alignas(64) float key_scales_[kIsFp8 ? kAttentionTile : 1];  ///< of this tile, as the next ones
  alignas(64) float value_scales_[kIsFp8 ? kAttentionTile : 1];
  alignas(64) T wide_[kIsFp8 ? 2 * kPanel * kMaxHeadDim : 1];  ///< panels of e4m3, widened
  Vf shrink_;
  State partial_, total_;
};

template <class T, class Kept, int rows>
void attention_rows(const AttentionBlock<T, Kept>& b, std::int64_t row) {
  for (; b.rows - row >= rows; row += rows) AttentionRows<T, Kept, rows>(b, row).run();
  if constexpr (rows > 1) attention_rows<T, Kept, rows / 2>(b, row);
}

template <class T, class Kept>
void attention_block(const AttentionBlock<T, Kept>& b) {
  static_assert(kAttentionTile <= kMaxHeadDim);  // wide_ holds two panels of keys, or of values
  attention_rows<T, Kept, kTileRows>(b, 0);
}

}  // namespace
}  // namespace retinue::ops::simd
