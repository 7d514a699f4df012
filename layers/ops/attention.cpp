#include "layers/ops/attention.h"

#include "layers/ops/dispatch.h"

#include <algorithm>

namespace retinue::ops {

void attention(Context& ctx, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::span<const std::int64_t> cu_seqlens, float scale, TensorView y) {
  check(q.shape().rank() == 3 && q.shape() == k.shape() && q.shape() == v.shape(),
        "attention: q, k and v are [patches, heads, head_dim]");
  check(q.dim(2) % 2 == 0 && q.dim(2) <= 256, "attention: head_dim is even and at most 256");
  check(q.dtype() == k.dtype() && q.dtype() == v.dtype() && q.dtype() == y.dtype(),
        "attention: one dtype");
  check(y.shape() == Shape{q.dim(0), q.dim(1) * q.dim(2)},
        "attention: y is [patches, heads · head_dim]");
  check(!cu_seqlens.empty() && cu_seqlens.front() == 0 && cu_seqlens.back() == q.dim(0),
        "attention: cu_seqlens runs from 0 to patches");
  std::int64_t longest = 0;
  for (std::size_t i = 1; i < cu_seqlens.size(); ++i) {
    check(cu_seqlens[i] >= cu_seqlens[i - 1], "attention: cu_seqlens rises");
    longest = std::max(longest, cu_seqlens[i] - cu_seqlens[i - 1]);
  }
  std::byte* scratch = ctx.scratch(
      detail::attention_scratch_bytes(ctx.device(), q.dtype(), ctx.threads(), longest, q.dim(2)));
  on_backend(ctx, "attention", [&](auto backend) {
    detail::attention(backend, ctx, q, k, v, cu_seqlens, scale, y, scratch);
  });
}

}  // namespace retinue::ops
