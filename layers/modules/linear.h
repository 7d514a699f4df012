#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "layers/ops/matmul.h"
#include "layers/weights/weight_store.h"

#include <string>

namespace retinue::layers {

/// y = x · Wᵀ + b, whole on every rank.  torch.nn.Linear.
class Linear {
 public:
  /// Reads PREFIX.weight of `shape`, as a matrix of dimension 0 by all others, and PREFIX.bias.
  Linear(WeightStore& store, const std::string& prefix, const Shape& shape);

  ///   x  [rows, inputs]
  ///   y  [rows, outputs]   rows may be strided
  void forward(Context& ctx, ConstTensorView x, TensorView y) const {
    ops::matmul(ctx, x, weight_, bias_, y);
  }
  [[nodiscard]] std::int64_t outputs() const { return weight_.outputs; }

 private:
  ops::PackedMatrix weight_;
  ConstTensorView bias_;
};

}  // namespace retinue::layers
