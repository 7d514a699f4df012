#include "layers/modules/gated_mlp.h"

#include "layers/ops/silu_mul.h"

namespace retinue::layers {

GatedMlp::GatedMlp(WeightStore& store, const std::string& prefix, std::int64_t hidden,
                   std::int64_t intermediate, const TensorAxis& axis)
    : intermediate_per_rank_(axis.per_rank(intermediate)),
      gate_up_proj_(store,
                    {{prefix + ".gate_proj.weight", Shape{intermediate, hidden},
                      axis.first(intermediate), intermediate_per_rank_},
                     {prefix + ".up_proj.weight", Shape{intermediate, hidden},
                      axis.first(intermediate), intermediate_per_rank_}},
                    hidden),
      down_proj_(store, prefix + ".down_proj.weight", hidden, intermediate, axis) {}

void GatedMlp::forward(Context& ctx, const ops::MatmulInput& x, TensorView y) const {
  Frame frame(ctx);
  TensorView gate_up = ctx.alloc({x.rows(), 2 * intermediate_per_rank_}, x.dtype());
  const auto act = ops::MatmulInput::alloc(ctx, x.rows(), down_proj_.weight());
  gate_up_proj_.forward(ctx, x, gate_up);
  ops::silu_mul(ctx, gate_up, act);
  down_proj_.forward(ctx, act, y);
}

}  // namespace retinue::layers
