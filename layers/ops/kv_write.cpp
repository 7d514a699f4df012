#include "layers/ops/kv_write.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void kv_write(Context& ctx, ConstTensorView k, ConstTensorView v, ConstTensorView slot_mapping,
              const KvView& cache) {
  check(cache.has_its_shape(), "kv_write: the cache is [blocks, kv_heads_per_rank, head_numel]");
  check(k.shape() == Shape({k.dim(0), cache.kv_heads_per_rank, cache.head_dim}) &&
            k.shape() == v.shape(),
        "kv_write: k and v are [tokens, kv_heads_per_rank, head_dim]");
  check(k.dtype() == v.dtype() && cache.keeps(k.dtype()), "kv_write: one dtype");
  check(!cache.is_fp8() || (cache.head_dim % 16 == 0 && cache.head_dim <= 256),
        "kv_write: heads of f8_e4m3 have 16 to 256 channels in sixteens");
  check(slot_mapping.shape() == Shape{k.dim(0)} && slot_mapping.dtype() == DType::kI32,
        "kv_write: slot_mapping is [tokens] i32");
  on_backend(ctx, "kv_write",
             [&](auto backend) { detail::kv_write(backend, ctx, k, v, slot_mapping, cache); });
}

}  // namespace retinue::ops
