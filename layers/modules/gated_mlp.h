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
  /// What reads x of forward().
  [[nodiscard]] const ops::PackedMatrix& input_weight() const { return gate_up_proj_.weight(); }
  ///   x, y  [tokens, hidden]   every rank of the axis enters; x is made for input_weight()
  void forward(Context& ctx, const ops::MatmulInput& x, TensorView y) const;

 private:
  std::int64_t intermediate_per_rank_;
  ColumnParallelLinear gate_up_proj_;
  RowParallelLinear down_proj_;
};

}  // namespace retinue::layers
