#pragma once

// Tested through tests/layers/model/invariance_test.cpp.

#include "layers/modules/tensor_axis.h"
#include "layers/ops/matmul_input.h"
#include "layers/weights/weight_store.h"

#include <string>
#include <vector>

namespace retinue::layers {

/// Splits outputs over the tensor axis: no communication.  Shoeybi et al. 2019, arXiv:1909.08053.
class ColumnParallelLinear {
 public:
  /// `parts`: this rank's rows of one or more stored matrices, one after the other.
  ColumnParallelLinear(WeightStore& store, const std::vector<MatrixPart>& parts,
                       std::int64_t inputs)
      : weight_(store.projection(parts, 0, inputs, 1)) {
    store.will_multiply({weight_, false, store.dtype()});
  }

  ///   x  [tokens, inputs], made for weight()
  ///   y  [tokens, outputs_per_rank]
  void forward(Context& ctx, const ops::MatmulInput& x, TensorView y) const {
    ops::matmul(ctx, x, weight_, {}, y);
  }
  [[nodiscard]] const ops::PackedMatrix& weight() const { return weight_; }
  [[nodiscard]] std::int64_t outputs_per_rank() const { return weight_.outputs; }

 private:
  ops::PackedMatrix weight_;
};

/// Splits inputs over the tensor axis and sums over it: every rank of the axis enters forward. The
/// sum is cut into the model's leaves whatever the size of the axis, so its bits do not depend on
/// that size; partials travel in f32.
class RowParallelLinear {
 public:
  RowParallelLinear(WeightStore& store, const std::string& name, std::int64_t outputs,
                    std::int64_t inputs, const TensorAxis& axis);

  ///   x  [tokens, inputs_per_rank], made for weight()
  ///   y  [tokens, outputs]   dtype of x, or f32 (not rounded yet); the same on every rank
  void forward(Context& ctx, const ops::MatmulInput& x, TensorView y) const;
  [[nodiscard]] const ops::PackedMatrix& weight() const { return weight_; }

 private:
  TensorAxis axis_;
  ops::PackedMatrix weight_;
};

/// The dtype in which a row-parallel sum reaches the residual: the model's on one rank. On several
/// it is f32, in which the sum travelled: the residual rounds it in passing, to the same bits.
DType branch_dtype(const TensorAxis& axis, DType model);

/// Sums f32 partials over the axis, in place: the identity on an axis of one and when planning.
/// Every rank of the axis enters.
void reduce_over(Context& ctx, const TensorAxis& axis, TensorView partial);

}  // namespace retinue::layers
