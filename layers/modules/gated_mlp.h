#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/modules/parallel_linear.h"

#include <string>

namespace retinue::layers {

/// y = down(silu(gate(x)) · up(x)), split over the tensor axis.  HF Qwen3VLTextMLP.
class GatedMlp {
 public:
  GatedMlp(WeightStore& store, const std::string& prefix, std::int64_t hidden,
           std::int64_t intermediate, const TensorAxis& axis);
  ///   x, y  [tokens, hidden]   every rank of the axis enters
  void forward(Context& ctx, ConstTensorView x, TensorView y) const;

 private:
  std::int64_t intermediate_per_rank_;
  ColumnParallelLinear gate_up_proj_;
  RowParallelLinear down_proj_;
};

}  // namespace retinue::layers
