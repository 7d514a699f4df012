#include "layers/ops/norm_rope_kv_write.h"

#include "layers/kernels/cpu/kept.h"
#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/simd/kernels.h"

#include <array>

namespace retinue::ops::detail {

void norm_rope_kv_write(Cpu, Context& ctx, const QkvStep& s, const KvView& cache) {
  on_float_dtype(s.q.dtype(), [&](auto element) {
    using T = decltype(element);
    const simd::Kernels<T>& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t tokens = s.q.dim(0), heads = s.q.dim(1), d = cache.head_dim;
    const std::int64_t kv_heads = cache.kv_heads_per_rank, block = cache.block_size;
    const auto* slots = s.slot_mapping.data<std::int32_t>();
    // Two tokens of a pair share a word of the KV block: both belong to the piece of the first.
    const auto after_pair = [&](std::int64_t t) {
      const bool second = t > 0 && t < tokens && slots[t] % 2 == 1 && slots[t - 1] == slots[t] - 1;
      return second ? t + 1 : t;
    };
    const auto piece = [&](std::int64_t begin, std::int64_t end) {
      alignas(64) std::array<T, simd::kMaxHeadDim> key;
      for (std::int64_t t = after_pair(begin); t < after_pair(end); ++t) {
        const float* cos = s.cos.data<float>() + t * s.cos.row_stride();
        const float* sin = s.sin.data<float>() + t * s.sin.row_stride();
        const auto norm_and_turn = [&](const T* x, const ConstTensorView& weight, T* y) {
          kernels.rms_norm(x, weight.data<T>(), s.eps, y, d);
          kernels.rotate({y, y + d / 2, cos, sin, d / 2, true});
        };
        T* q = s.q.data<T>() + t * s.q.row_stride();
        for (std::int64_t h = 0; h < heads; ++h) norm_and_turn(q + h * d, s.q_weight, q + h * d);
        const T* k = s.k.data<T>() + t * s.k.row_stride();
        const T* v = s.v.data<T>() + t * s.v.row_stride();
        on_kept<T>(cache, [&](auto kept) {
          using Kept = decltype(kept);
          Kept* keys = cache.data.data<Kept>() + slots[t] / block * cache.data.row_stride();
          for (std::int64_t h = 0; h < kv_heads; ++h, keys += cache.head_numel()) {
            norm_and_turn(k + h * d, s.k_weight, key.data());
            write_token(kernels,
                        simd::TokenToBlock<T, Kept>{key.data(), v + h * d, d, slots[t] % block,
                                                    block, keys, keys + block * d});
          }
        });
      }
    };
    parallel_for(ctx, tokens, 1 + 16384 / ((heads + kv_heads) * d), piece);
  });
}

}  // namespace retinue::ops::detail
