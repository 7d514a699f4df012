#include "layers/ops/gather_rows.h"

#include "layers/kernels/cpu/parallel_for.h"

#include <cstring>

namespace retinue::ops::detail {

void gather_rows(Cpu, Context& ctx, ConstTensorView x, ConstTensorView rows, TensorView y) {
  const auto size = static_cast<std::int64_t>(size_bytes(x.dtype()));
  parallel_for(ctx, rows.dim(0), 64, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      std::memcpy(y.bytes() + i * y.row_stride() * size,
                  x.bytes() + rows.data<std::int32_t>()[i] * x.row_stride() * size,
                  static_cast<std::size_t>(x.dim(1) * size));
  });
}

}  // namespace retinue::ops::detail
