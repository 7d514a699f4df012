#include "layers/ops/interpolate.h"

#include "layers/ops/dispatch.h"

#include <cmath>

namespace retinue::ops {

void add_interpolated(Context& ctx, ConstTensorView table, std::int64_t frames, std::int64_t rows,
                      std::int64_t columns, std::int64_t merge, TensorView y) {
  check(table.shape().rank() == 2 && y.shape() == Shape({frames * rows * columns, table.dim(1)}) &&
            table.dtype() == y.dtype(),
        "add_interpolated: y is [frames · rows · columns, hidden]");
  const auto side =
      static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(table.dim(0)))));
  check(side * side == table.dim(0), "add_interpolated: the table is square");
  check(merge >= 1 && rows % merge == 0 && columns % merge == 0,
        "add_interpolated: the grid merges evenly");
  on_backend(ctx, "add_interpolated", [&](auto backend) {
    detail::add_interpolated(backend, ctx, table, side, frames, rows, columns, merge, y);
  });
}

}  // namespace retinue::ops
