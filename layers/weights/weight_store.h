#pragma once

#include "layers/ops/matmul.h"
#include "layers/weights/weight_source.h"
#include "parallel/device/context.h"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace retinue::layers {

/// Rows of one stored matrix that become consecutive outputs of a packed one: q, k and v of a fused
/// qkv.
struct MatrixPart {
  std::string name;
  Shape shape;                 ///< of the whole tensor
  std::int64_t first_row = 0;  ///< this rank's outputs
  std::int64_t rows = 0;
};

/// Owns a rank's weights on its device; outlives the modules, which hold views. Modules ask for
/// what they need by Hugging Face's names while they are built; each rank reads only its slices.
/// Without a source it plans: no memory, bytes are counted.
class WeightStore {
 public:
  /// `source` may be null: plan. `dtype` is what weights become.
  WeightStore(Context& ctx, MemoryLedger& ledger, WeightSource* source, DType dtype)
      : ctx_(ctx), ledger_(ledger), source_(source), dtype_(dtype) {}

  /// Elements [first, first + count) of a vector.
  ConstTensorView vector(const std::string& name, std::int64_t size, std::int64_t first,
                         std::int64_t count);
  ConstTensorView vector(const std::string& name, std::int64_t size) {
    return vector(name, size, 0, size);
  }
  /// A whole matrix as it is stored (the table of positions).
  ConstTensorView table(const std::string& name, const Shape& shape);
  /// A packed matrix from the parts' rows, of each the columns [first_column, first_column +
  /// columns).
  ops::PackedMatrix matrix(const std::vector<MatrixPart>& parts, std::int64_t first_column,
                           std::int64_t columns);

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  TensorView allocate(const Shape& shape);
  ConstTensorView table(const std::string& name, const Shape& shape, const WeightSlice& slice);
  /// Reads `slice` piece by piece through pinned host memory, two pieces deep, and hands each piece
  /// to `place` with the slice's row that it begins at; what `place` enqueues ends before the piece
  /// is overwritten.
  template <class Place>
  void stream_rows(const std::string& name, const Shape& shape, const WeightSlice& slice,
                   Place&& place);

  Context& ctx_;
  MemoryLedger& ledger_;
  WeightSource* source_;
  DType dtype_;
  std::int64_t bytes_ = 0;
  std::deque<Tensor> tensors_;
};

}  // namespace retinue::layers
