#include "layers/ops/random_fill.h"

#include "layers/kernels/cpu/parallel_for.h"

namespace retinue::ops::detail {

void random_fill(Cpu, Context& ctx, const RandomRule& rule, std::int64_t first, std::int64_t width,
                 TensorView y) {
  const std::int64_t columns = y.dim(1);
  const auto fill = [&](auto to_element) {
    using T = decltype(to_element(0.0F));
    parallel_for(ctx, y.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t r = i / columns, c = i % columns;
        y.data<T>()[r * y.row_stride() + c] = to_element(random_value(rule, first + r * width + c));
      }
    });
  };
  if (y.dtype() == DType::kF8E4M3)
    fill(to_float8_e4m3);
  else if (y.dtype() == DType::kBF16)
    fill(to_bfloat16);
  else
    fill([](float value) { return value; });
}

}  // namespace retinue::ops::detail
