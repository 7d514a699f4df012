#include "layers/ops/fp8_matmul.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void pack_scales(Context& ctx, ConstTensorView scales, std::int64_t first, std::int64_t begin,
                 std::int64_t end, const PackedMatrix& w) {
  check(scales.shape().rank() == 2 && scales.dtype() == DType::kF32 &&
            scales.dim(1) * kFp8Group == w.inputs,
        "pack_scales: scales are [blocks, inputs / 128] f32");
  check(0 <= begin && begin <= end && end <= w.outputs, "pack_scales: outputs beyond w");
  on_backend(ctx, "pack_scales", [&](auto backend) {
    detail::pack_scales(backend, ctx, scales, first, begin, end, w);
  });
}

}  // namespace retinue::ops
