#pragma once

#include "layers/modules/parallel_linear.h"

#include <string>

namespace retinue::layers {

/// y = down(silu(gate(x)) · up(x)).  HF Qwen3VLTextMLP.
class GatedMlp {
 public:
  GatedMlp(WeightStore& store, const std::string& prefix, std::int64_t hidden,
           std::int64_t intermediate, const TensorAxis& axis);
  void forward(Context& ctx, ConstTensorView x, TensorView y) const;

 private:
  std::int64_t intermediate_per_rank_;
  ColumnParallelLinear gate_up_proj_;
  RowParallelLinear down_proj_;
};

}  // namespace retinue::layers
