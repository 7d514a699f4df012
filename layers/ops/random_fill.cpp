#include "layers/ops/random_fill.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void random_fill(Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y) {
  check(y.shape().rank() == 2 &&
            (y.dtype() == DType::kF32 || y.dtype() == DType::kBF16 || y.dtype() == DType::kF8E4M3),
        "random_fill: y is a matrix, f32, bf16 or f8_e4m3");
  check(first >= 0 && width >= y.dim(1), "random_fill: y is a slice of a tensor");
  on_backend(ctx, "random_fill",
             [&](auto backend) { detail::random_fill(backend, ctx, rule, first, width, y); });
}

}  // namespace retinue::ops
