// All steps between the projection and attention. A group of lanes, a power of two, computes a
// head: each lane holds a run of kVector channels, so that a head is read once, into registers.
#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/kv_e4m3.cuh"
#include "layers/ops/norm_rope_kv_write.h"

#include <cstring>

namespace retinue::ops::detail {

namespace {

using namespace cuda;

constexpr int kBlock = 256;

template <class T, class Kept>
struct Step {
  T* q;
  const T *k, *v, *q_weight, *k_weight;
  const float *cos, *sin;
  const std::int32_t* slot_mapping;
  Kept* kv_blocks;
  std::int64_t q_stride, k_stride, v_stride, cos_stride, sin_stride, kv_block_stride;
  int heads, kv_heads, head_dim, block_size;
  int lanes;  ///< per head
  float eps;
};

/// The run that another lane holds.
template <class T>
__device__ __forceinline__ Vector<T, kVector> from_lane(const Vector<T, kVector>& run, int lane) {
  constexpr int kWords = sizeof(run) / sizeof(std::uint32_t);
  std::uint32_t words[kWords];
  std::memcpy(words, &run, sizeof run);
  for (int i = 0; i < kWords; ++i) words[i] = __shfl_sync(0xFFFFFFFFU, words[i], lane);
  Vector<T, kVector> theirs;
  std::memcpy(&theirs, words, sizeof theirs);
  return theirs;
}

/// A thread block computes some heads of a token: first the heads of q, then of k, then of v.
template <class T, class Kept, bool kVectors>
__global__ void __launch_bounds__(kBlock) norm_rope_kv_write_kernel(Step<T, Kept> s) {
  const std::int64_t token = blockIdx.x;
  const int head = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) / s.lanes;
  const int run = static_cast<int>(threadIdx.x) % s.lanes, first = run * kVector;
  const bool is_q = head < s.heads, is_k = !is_q && head < s.heads + s.kv_heads;
  const int kv_head = is_k ? head - s.heads : head - s.heads - s.kv_heads;  // unless is_q
  // Lanes without work stay: shuffles need whole warps.
  const bool works = head < s.heads + 2 * s.kv_heads && first < s.head_dim;
  T* q = s.q + token * s.q_stride + static_cast<std::int64_t>(head) * s.head_dim;
  const T* kv = (is_k ? s.k + token * s.k_stride : s.v + token * s.v_stride) +
                static_cast<std::int64_t>(kv_head) * s.head_dim;

  Vector<T, kVector> x;
  for (int i = 0; i < kVector; ++i) x.at[i] = from_f32<T>(0.0F);
  if (works) x = load_run<kVectors, T>(is_q ? q : kv, first, s.head_dim);
  // The order of norms.cu: runs, then the tree. There a warp has a head, and idle lanes add zeros.
  float squares = 0;
  for (int i = 0; i < kVector; ++i) {
    const float value = to_f32(x.at[i]);
    squares += value * value;
  }
  for (int distance = s.lanes / 2; distance > 0; distance /= 2)
    squares += __shfl_xor_sync(0xFFFFFFFFU, squares, distance);
  Vector<T, kVector> turned = x;
  if (works && (is_q || is_k)) {
    const float scale = 1.0F / sqrtf(squares / static_cast<float>(s.head_dim) + s.eps);
    const auto by = load_run<kVectors>(is_q ? s.q_weight : s.k_weight, first, s.head_dim);
    for (int i = 0; i < kVector; ++i)
      x.at[i] = from_f32<T>(to_f32(by.at[i]) * rounded<T>(to_f32(x.at[i]) * scale));
  }
  // Channel j turns with j + head_dim / 2, which is half of the head's runs away.
  const int half = s.head_dim / 2, half_runs = half / kVector;
  const bool low = run < half_runs;
  const int partner = low ? run + half_runs : run - half_runs;
  const auto other = from_lane(x, static_cast<int>(threadIdx.x) % 32 - run + partner);
  if (works && (is_q || is_k)) {
    const int slot = low ? first : first - half;
    const auto c = load_run<kVectors>(s.cos + token * s.cos_stride, slot, half);
    const auto d = load_run<kVectors>(s.sin + token * s.sin_stride, slot, half);
    for (int i = 0; i < kVector; ++i) {
      const float own = rounded<T>(to_f32(x.at[i]) * c.at[i]);
      const float theirs = rounded<T>(to_f32(other.at[i]) * d.at[i]);
      turned.at[i] = from_f32<T>(low ? own - theirs : own + theirs);
    }
  }
  constexpr bool kFp8 = std::is_same_v<Kept, Float8E4M3>;
  E4m3Run run_of_e4m3;
  if constexpr (kFp8) run_of_e4m3 = quantized(turned, s.lanes);
  if (!works) return;
  if (is_q) {
    store_run<kVectors>(q, first, s.head_dim, turned);
    return;
  }
  const std::int64_t at = s.slot_mapping[token];
  // Rows that pad a step repeat its last one. Two thread blocks must not store in one place, not
  // even the same bits.
  if (token > 0 && s.slot_mapping[token - 1] == at) return;
  if constexpr (kFp8) {
    const E4m3Cache cache{s.kv_blocks, s.kv_block_stride, s.block_size, s.head_dim};
    store_e4m3(cache, at, kv_head, !is_k, first, run_of_e4m3);
  } else {
    const std::int64_t head_numel = static_cast<std::int64_t>(s.block_size) * s.head_dim;
    const auto [block, place] = divide(at, s.block_size);
    T* keys =
        s.kv_blocks + block * s.kv_block_stride + kv_head * 2 * head_numel + place * s.head_dim;
    store_run<kVectors>(is_k ? keys : keys + head_numel, first, s.head_dim, turned);
  }
}

template <class T, class Kept>
void launch_step(Context& ctx, const QkvStep& s, const KvView& cache, Kept* kv_blocks) {
  const int lanes = lanes_of_head(cache.head_dim);
  const Step<T, Kept> step{pointer<T>(s.q),
                           pointer<T>(s.k),
                           pointer<T>(s.v),
                           pointer<T>(s.q_weight),
                           pointer<T>(s.k_weight),
                           s.cos.data<float>(),
                           s.sin.data<float>(),
                           s.slot_mapping.data<std::int32_t>(),
                           kv_blocks,
                           s.q.row_stride(),
                           s.k.row_stride(),
                           s.v.row_stride(),
                           s.cos.row_stride(),
                           s.sin.row_stride(),
                           cache.data.row_stride(),
                           static_cast<int>(s.q.dim(1)),
                           static_cast<int>(cache.kv_heads_per_rank),
                           static_cast<int>(cache.head_dim),
                           static_cast<int>(cache.block_size),
                           lanes,
                           s.eps};
  const Shape one_row{1, cache.head_dim};
  const bool vectors = takes_vectors(cache.head_dim, s.q, s.k, s.v, cache.data, s.cos, s.sin,
                                     s.q_weight.reshape(one_row), s.k_weight.reshape(one_row));
  const std::int64_t all = (s.q.dim(1) + 2 * cache.kv_heads_per_rank) * lanes;
  const auto threads = std::min<std::int64_t>(round_up(all, 32), kBlock);
  const Grid grid{s.q.dim(0), ceil_div(all, threads)};
  const auto kernel = vectors ? norm_rope_kv_write_kernel<T, Kept, true>
                              : norm_rope_kv_write_kernel<T, Kept, false>;
  launch(ctx, kernel, grid, static_cast<int>(threads), 0, step);
}

}  // namespace

void norm_rope_kv_write(Cuda, Context& ctx, const QkvStep& s, const KvView& cache) {
  on_element(s.q.dtype(), [&](auto element) {
    using T = decltype(element);
    if (cache.is_fp8())
      launch_step<T>(ctx, s, cache, e4m3_cache(cache).blocks);
    else
      launch_step<T>(ctx, s, cache, pointer<T>(cache.data));
  });
}

}  // namespace retinue::ops::detail
