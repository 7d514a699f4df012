#include "layers/ops/random_fill.h"

#include "layers/kernels/cpu/parallel_for.h"

namespace retinue::ops::detail {

void random_fill(Cpu, Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y) {
  const std::int64_t columns = y.dim(1);
  on_float_dtype(y.dtype(), [&](auto element) {
    using T = decltype(element);
    parallel_for(ctx, y.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t r = i / columns, c = i % columns;
        const float value = random_value(rule, first + r * width + c);
        T& at = y.data<T>()[r * y.row_stride() + c];
        if constexpr (std::is_same_v<T, float>)
          at = value;
        else
          at = to_bfloat16(value);
      }
    });
  });
}

}  // namespace retinue::ops::detail
