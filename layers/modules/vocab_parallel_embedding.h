#pragma once

// Tested through tests/layers/model/invariance_test.cpp.

#include "layers/modules/tensor_axis.h"
#include "layers/ops/matmul.h"
#include "layers/weights/weight_store.h"

#include <string>

namespace retinue::layers {

/// A table [vocab, hidden] whose rows are split over the tensor axis: vocab / ranks for each, rounded
/// up, and the rest for the last. As an embedding every rank of the axis enters; as a head each rank
/// computes its own logits. A tied model shares one table.
class VocabParallelEmbedding {
 public:
  VocabParallelEmbedding(WeightStore& store, const std::string& name, std::int64_t vocab,
                         std::int64_t hidden, const TensorAxis& axis)
      : axis_(axis),
        first_id_(vocab_slice(vocab, axis.rank, axis.size).begin),
        table_(store.matrix({{name, Shape{vocab, hidden}, first_id_,
                              vocab_slice(vocab, axis.rank, axis.size).count}},
                            0, hidden)) {
    store.will_multiply({table_, false, store.dtype()});
  }

  ///   ids  [tokens]           i32
  ///   y    [tokens, hidden]   the same on every rank; every rank enters
  void forward(Context& ctx, ConstTensorView ids, TensorView y) const;
  ///   x       [rows, hidden]
  ///   logits  [rows, vocab_per_rank]
  void logits(Context& ctx, ConstTensorView x, TensorView logits) const {
    ops::matmul(ctx, x, table_, {}, logits);
  }
  [[nodiscard]] std::int64_t first_id() const { return first_id_; }
  [[nodiscard]] std::int64_t vocab_per_rank() const { return table_.outputs; }

 private:
  TensorAxis axis_;
  std::int64_t first_id_;
  ops::PackedMatrix table_;
};

}  // namespace retinue::layers
