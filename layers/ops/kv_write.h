#pragma once

#include "layers/ops/kv_view.h"
#include "parallel/device/context.h"

namespace retinue::ops {

/// Stores keys and values of this step's tokens in their KV blocks, quantised where the cache is
/// f8_e4m3 (kv_view.h).  vLLM's reshape_and_cache.
///   k, v          [tokens, kv_heads_per_rank, head_dim]  f32 | bf16   rows may be strided
///   slot_mapping  [tokens]                               i32          block · block_size + offset;
///                 the tokens of a sequence in rising order
void kv_write(Context& ctx, ConstTensorView k, ConstTensorView v, ConstTensorView slot_mapping,
              const KvView& cache);

namespace detail {
void kv_write(Cpu, Context& ctx, ConstTensorView k, ConstTensorView v, ConstTensorView slot_mapping,
              const KvView& cache);
void kv_write(Cuda, Context& ctx, ConstTensorView k, ConstTensorView v,
              ConstTensorView slot_mapping, const KvView& cache);
}  // namespace detail
}  // namespace retinue::ops
