#include "layers/ops/patch_positions.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void patch_positions(Context& ctx, std::int64_t frames, std::int64_t rows, std::int64_t columns,
                     std::int64_t merge, TensorView positions) {
  check(
      positions.shape() == Shape({2, frames * rows * columns}) && positions.dtype() == DType::kI32,
      "patch_positions: positions are [2, frames · rows · columns] i32");
  check(merge >= 1 && rows % merge == 0 && columns % merge == 0,
        "patch_positions: the grid merges evenly");
  on_backend(ctx, "patch_positions", [&](auto backend) {
    detail::patch_positions(backend, ctx, frames, rows, columns, merge, positions);
  });
}

}  // namespace retinue::ops
