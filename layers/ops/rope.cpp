#include "layers/ops/rope.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void rope_table(Context& ctx, ConstTensorView positions, std::span<const std::int32_t> axis_of_slot,
                std::span<const float> inv_freq, float scale, DType rounded_to, TensorView cos,
                TensorView sin) {
  check(positions.shape().rank() == 2 && positions.dtype() == DType::kI32,
        "rope_table: positions are [axes, tokens] i32");
  const Shape table{positions.dim(1), static_cast<std::int64_t>(inv_freq.size())};
  check(axis_of_slot.size() == inv_freq.size(), "rope_table: one axis per slot");
  for (const std::int32_t axis : axis_of_slot)
    check(axis >= 0 && axis < positions.dim(0),
          "rope_table: a slot turns with an axis that is there");
  check(cos.shape() == table && sin.shape() == table && cos.dtype() == DType::kF32 &&
            sin.dtype() == DType::kF32,
        "rope_table: cos and sin are [tokens, slots] f32");
  on_backend(ctx, "rope_table", [&](auto backend) {
    detail::rope_table(backend, ctx, positions, axis_of_slot, inv_freq, scale, rounded_to, cos,
                       sin);
  });
}

void rope(Context& ctx, TensorView x, ConstTensorView cos, ConstTensorView sin,
          RopeRounding rounding) {
  check(x.shape().rank() == 3 && x.dim(2) % 2 == 0,
        "rope: x is [tokens, heads, head_dim], head_dim even");
  const Shape table{x.dim(0), x.dim(2) / 2};
  check(cos.shape() == table && sin.shape() == table && cos.dtype() == DType::kF32 &&
            sin.dtype() == DType::kF32,
        "rope: cos and sin are [tokens, head_dim / 2] f32");
  on_backend(ctx, "rope", [&](auto backend) { detail::rope(backend, ctx, x, cos, sin, rounding); });
}

}  // namespace retinue::ops
