#include "layers/vision/patch_merger.h"

#include "layers/ops/gelu.h"

namespace retinue::layers {

VisionPatchMerger::VisionPatchMerger(WeightStore& store, const std::string& prefix,
                                     const VisionConfig& config, bool use_postshuffle_norm)
    : unit_(config.merge_unit()),
      use_postshuffle_norm_(use_postshuffle_norm),
      norm_(store, prefix + ".norm", config.hidden_size * (use_postshuffle_norm ? unit_ : 1),
            1e-6F),
      fc1_(store, prefix + ".linear_fc1",
           Shape{unit_ * config.hidden_size, unit_ * config.hidden_size}),
      fc2_(store, prefix + ".linear_fc2",
           Shape{config.out_hidden_size, unit_ * config.hidden_size}) {}

void VisionPatchMerger::forward(Context& ctx, ConstTensorView x, TensorView y) const {
  Frame frame(ctx);
  const Shape joined{x.dim(0) / unit_, x.dim(1) * unit_};
  TensorView normed = ctx.alloc(x.shape(), x.dtype());
  if (use_postshuffle_norm_)
    norm_.forward(ctx, x.reshape(joined), normed.reshape(joined));
  else
    norm_.forward(ctx, x, normed);
  TensorView inner = ctx.alloc(joined, x.dtype());
  fc1_.forward(ctx, normed.reshape(joined), inner);
  ops::gelu(ctx, inner, ops::Gelu::kErf, inner);
  fc2_.forward(ctx, inner, y);
}

}  // namespace retinue::layers
