#include "layers/ops/patch_normalize.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

void patch_normalize(Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y) {
  check(
      patches.shape().rank() == 2 && patches.dtype() == DType::kU8 && patches.shape() == y.shape(),
      "patch_normalize: patches are [patches, width] u8, y alike");
  check(values.size() >= 256 && values.size() % 256 == 0 &&
            patches.dim(1) % static_cast<std::int64_t>(values.size() / 256) == 0,
        "patch_normalize: 256 values per channel, channels divide the width");
  on_backend(ctx, "patch_normalize",
             [&](auto backend) { detail::patch_normalize(backend, ctx, patches, values, y); });
}

}  // namespace retinue::ops
