#include "layers/ops/top_k.h"

#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/simd/kernels.h"

#include <numeric>
#include <vector>

namespace retinue::ops::detail {

void top_k(Cpu, Context& ctx, ConstTensorView logits, std::int64_t first_id, TensorView values,
           TensorView ids) {
  on_float_dtype(logits.dtype(), [&](auto element) {
    using T = decltype(element);
    const simd::Kernels<T>& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t n = logits.dim(1), k = values.dim(1);
    parallel_for(ctx, logits.dim(0), 1, [&](std::int64_t begin, std::int64_t end) {
      thread_local std::vector<std::int32_t> order;
      for (std::int64_t row = begin; row < end; ++row) {
        const T* x = logits.data<T>() + row * logits.row_stride();
        // NaN counts as infinity: that keeps the order strict, and the largest value shows it.
        const auto key = [&](std::int32_t i) {
          const float v = to_float(x[i]);
          return v == v ? v : __builtin_inff();
        };
        const auto before = [&](std::int32_t a, std::int32_t b) {
          const float va = key(a), vb = key(b);
          return va > vb || (va == vb && a < b);
        };
        if (k == 1) {
          order.assign(1, static_cast<std::int32_t>(kernels.largest(x, n)));
        } else {
          order.resize(static_cast<std::size_t>(n));
          std::iota(order.begin(), order.end(), 0);
          std::partial_sort(order.begin(), order.begin() + k, order.end(), before);
        }
        for (std::int64_t i = 0; i < k; ++i) {
          const std::int32_t id = order[static_cast<std::size_t>(i)];
          values.data<float>()[row * values.row_stride() + i] = to_float(x[id]);
          ids.data<std::int32_t>()[row * ids.row_stride() + i] =
              static_cast<std::int32_t>(first_id) + id;
        }
      }
    });
  });
}

}  // namespace retinue::ops::detail
