#include "layers/ops/attention.h"

#include "layers/kernels/cpu/kept.h"
#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/ops/kv_write.h"
#include "layers/ops/paged_attention.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace retinue::ops::detail {

namespace {

constexpr std::int64_t kTile = simd::kAttentionTile;
constexpr std::int64_t kPanel = simd::kPanel;

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

std::int64_t head_bytes(DType dtype, std::int64_t longest, std::int64_t head_dim) {
  const std::int64_t keys = round_up(longest, kTile);
  return round_up(
      keys * (head_dim + round_up(head_dim, kPanel)) * static_cast<std::int64_t>(size_bytes(dtype)),
      64);
}

}  // namespace

std::size_t attention_scratch_bytes(Device device, DType dtype, int threads, std::int64_t longest,
                                    std::int64_t head_dim) {
  if (device.type == DeviceType::kCuda) return 0;
  return static_cast<std::size_t>(threads * head_bytes(dtype, longest, head_dim));
}

void attention(Cpu, Context& ctx, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::span<const std::int64_t> cu_seqlens, float scale, TensorView y,
               std::byte* scratch) {
  on_float_dtype(q.dtype(), [&](auto element) {
    using T = decltype(element);
    const simd::Kernels<T>& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t heads = q.dim(1), head_dim = q.dim(2);
    const auto segments = static_cast<std::int64_t>(cu_seqlens.size()) - 1;
    std::int64_t longest = 0;
    for (std::int64_t s = 0; s < segments; ++s)
      longest = std::max(longest, cu_seqlens[static_cast<std::size_t>(s) + 1] -
                                      cu_seqlens[static_cast<std::size_t>(s)]);
    const std::int64_t per_thread = head_bytes(q.dtype(), longest, head_dim);
    // A piece of work is one head of one segment: the thread that computes it lays out its keys and
    // values once.
    parallel_for(ctx, segments * heads, 1, [&](std::int64_t begin, std::int64_t end) {
      T* keys = reinterpret_cast<T*>(scratch + omp_get_thread_num() * per_thread);
      T* values = keys + round_up(longest, kTile) * head_dim;
      thread_local std::vector<const T*> key_blocks, value_blocks;
      thread_local std::vector<std::int64_t> row_keys;
      for (std::int64_t item = begin; item < end; ++item) {
        const auto segment = static_cast<std::size_t>(item / heads);
        const std::int64_t head = item % heads;
        const std::int64_t first = cu_seqlens[segment], length = cu_seqlens[segment + 1] - first;
        key_blocks.clear(), value_blocks.clear();
        const std::int64_t value_numel = kTile * round_up(head_dim, kPanel);
        for (std::int64_t block = 0; block * kTile < length; ++block) {
          T* key_block = keys + block * kTile * head_dim;
          T* value_block = values + block * value_numel;
          const std::int64_t in_block = std::min(kTile, length - block * kTile);
          for (std::int64_t j = 0; j < in_block; ++j) {
            const std::int64_t row = first + block * kTile + j;
            kernels.write_token({k.data<T>() + row * k.row_stride() + head * head_dim,
                                 v.data<T>() + row * v.row_stride() + head * head_dim, head_dim, j,
                                 kTile, key_block, value_block});
          }
          key_blocks.push_back(key_block), value_blocks.push_back(value_block);
        }
        row_keys.assign(static_cast<std::size_t>(length), length);
        kernels.attention({q.data<T>() + first * q.row_stride() + head * head_dim, q.row_stride(),
                           length, head_dim, key_blocks.data(), value_blocks.data(), kTile,
                           row_keys.data(), scale,
                           y.data<T>() + first * y.row_stride() + head * head_dim, y.row_stride()});
      }
    });
  });
}

void kv_write(Cpu, Context& ctx, ConstTensorView k, ConstTensorView v, ConstTensorView slot_mapping,
              const KvView& cache) {
  on_float_dtype(k.dtype(), [&](auto element) {
    using T = decltype(element);
    const simd::Kernels<T>& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t head_dim = cache.head_dim, block = cache.block_size;
    const std::int64_t head_numel = cache.head_numel();
    // One thread writes all tokens of a head: two tokens of a pair share a word.
    parallel_for(ctx, cache.kv_heads_per_rank, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t head = begin; head < end; ++head)
        for (std::int64_t t = 0; t < k.dim(0); ++t) {
          const std::int64_t slot = slot_mapping.data<std::int32_t>()[t];
          on_kept<T>(cache, [&](auto kept) {
            using Kept = decltype(kept);
            Kept* keys = cache.data.data<Kept>() + slot / block * cache.data.row_stride() +
                         head * head_numel;
            write_token(kernels, simd::TokenToBlock<T, Kept>{
                                     k.data<T>() + t * k.row_stride() + head * head_dim,
                                     v.data<T>() + t * v.row_stride() + head * head_dim, head_dim,
                                     slot % block, block, keys, keys + block * head_dim});
          });
        }
    });
  });
}

namespace {

/// A piece of work: some tokens of one sequence with one KV head. The query heads of a group share
/// keys, so they are rows of one block: of one token in decode, of several tokens in prefill.
struct Piece {
  std::int64_t seq, kv_head, first, tokens;
};

/// Late tokens first: they see the most keys, so the longest pieces start first.
void cut_into_pieces(std::span<const std::int32_t> starts, std::int64_t kv_heads,
                     std::int64_t most_tokens, std::vector<Piece>& pieces) {
  pieces.clear();
  for (std::size_t s = 0; s + 1 < starts.size(); ++s)
    for (std::int64_t h = 0; h < kv_heads; ++h)
      for (std::int64_t end = starts[s + 1]; end > starts[s];) {
        const std::int64_t count = std::min<std::int64_t>(most_tokens, end - starts[s]);
        end -= count;
        pieces.push_back({static_cast<std::int64_t>(s), h, end, count});
      }
}

/// The query heads of a piece's tokens, as rows that follow each other, and how many keys each sees.
template <class T>
struct PieceRows {
  std::vector<T> q, y;
  std::vector<std::int64_t> keys;
};

/// One call of attention.
template <class T>
struct PagedWork {
  const simd::Kernels<T>& kernels;
  ConstTensorView q;
  const KvView& cache;
  ConstTensorView block_table, cu_seqlens, seq_lens;
  float scale;
  TensorView y;

  [[nodiscard]] std::int64_t width() const {
    return q.dim(1) / cache.kv_heads_per_rank * cache.head_dim;
  }
  /// Position of the piece's first token in its sequence.
  [[nodiscard]] std::int64_t position(const Piece& piece) const {
    return seq_lens.data<std::int32_t>()[piece.seq] -
           (cu_seqlens.data<std::int32_t>()[piece.seq + 1] - piece.first);
  }
  void gather(const Piece& piece, PieceRows<T>& rows) const;
  template <class Kept>
  void attend(const Piece& piece, PieceRows<T>& rows) const;
  void scatter(const Piece& piece, const PieceRows<T>& rows) const;
};

template <class T>
void PagedWork<T>::gather(const Piece& piece, PieceRows<T>& rows) const {
  const std::int64_t group = width() / cache.head_dim;
  rows.q.resize(static_cast<std::size_t>(piece.tokens * width())), rows.y.resize(rows.q.size());
  rows.keys.resize(static_cast<std::size_t>(piece.tokens * group));
  for (std::int64_t t = 0; t < piece.tokens; ++t) {
    std::memcpy(rows.q.data() + t * width(),
                q.data<T>() + (piece.first + t) * q.row_stride() + piece.kv_head * width(),
                static_cast<std::size_t>(width()) * sizeof(T));
    for (std::int64_t g = 0; g < group; ++g)
      rows.keys[static_cast<std::size_t>(t * group + g)] = position(piece) + t + 1;
  }
}

template <class T>
template <class Kept>
void PagedWork<T>::attend(const Piece& piece, PieceRows<T>& rows) const {
  thread_local std::vector<const Kept*> key_blocks, value_blocks;
  key_blocks.clear(), value_blocks.clear();
  const std::int64_t last = position(piece) + piece.tokens - 1;
  for (std::int64_t p = 0; p <= last / cache.block_size; ++p) {
    const std::int64_t id =
        block_table.data<std::int32_t>()[piece.seq * block_table.row_stride() + p];
    const Kept* keys =
        cache.data.data<Kept>() + id * cache.data.row_stride() + piece.kv_head * cache.head_numel();
    key_blocks.push_back(keys), value_blocks.push_back(keys + cache.block_size * cache.head_dim);
  }
  const auto count = static_cast<std::int64_t>(rows.keys.size());
  detail::attention(kernels, simd::AttentionBlock<T, Kept>{
                                 rows.q.data(), cache.head_dim, count, cache.head_dim,
                                 key_blocks.data(), value_blocks.data(), cache.block_size,
                                 rows.keys.data(), scale, rows.y.data(), cache.head_dim});
}

template <class T>
void PagedWork<T>::scatter(const Piece& piece, const PieceRows<T>& rows) const {
  for (std::int64_t t = 0; t < piece.tokens; ++t)
    std::memcpy(y.data<T>() + (piece.first + t) * y.row_stride() + piece.kv_head * width(),
                rows.y.data() + t * width(), static_cast<std::size_t>(width()) * sizeof(T));
}

}  // namespace

void paged_attention(Cpu, Context& ctx, ConstTensorView q, const KvView& cache,
                     ConstTensorView block_table, ConstTensorView cu_seqlens,
                     ConstTensorView seq_lens, float scale, TensorView y, std::byte*) {
  on_float_dtype(q.dtype(), [&](auto element) {
    using T = decltype(element);
    const PagedWork<T> work{
        simd::kernels<T>(ctx.cpu_isa()), q, cache, block_table, cu_seqlens, seq_lens, scale, y};
    const std::int64_t group = q.dim(1) / cache.kv_heads_per_rank;
    // The list keeps its memory for the next step, as all lists here do: a step allocates nothing.
    thread_local std::vector<Piece> list;
    std::vector<Piece>& pieces = list;  // of this thread; the others read it through this reference
    cut_into_pieces(
        std::span(cu_seqlens.data<std::int32_t>(), static_cast<std::size_t>(seq_lens.numel()) + 1),
        cache.kv_heads_per_rank, std::max<std::int64_t>(1, 64 / group), pieces);
    parallel_for(ctx, static_cast<std::int64_t>(pieces.size()), 1,
                 [&](std::int64_t begin, std::int64_t end) {
                   thread_local PieceRows<T> rows;
                   for (std::int64_t i = begin; i < end; ++i) {
                     const Piece& piece = pieces[static_cast<std::size_t>(i)];
                     work.gather(piece, rows);
                     on_kept<T>(cache, [&](auto kept) {
                       work.template attend<decltype(kept)>(piece, rows);
                     });
                     work.scatter(piece, rows);
                   }
                 });
  });
}

}  // namespace retinue::ops::detail
