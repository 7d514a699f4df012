#include "layers/weights/weight_store.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <cstring>

namespace retinue::layers {

namespace {
/// Rows are read and packed in pieces of about this size: beside the weights themselves loading
/// needs no more.
constexpr std::int64_t kPieceBytes = 8 << 20;
}  // namespace

TensorView WeightStore::allocate(const Shape& shape) {
  bytes_ += shape.numel() * static_cast<std::int64_t>(size_bytes(dtype_));
  if (source_ == nullptr) return {nullptr, dtype_, shape};
  return tensors_.emplace_back(ledger_, ctx_.device(), dtype_, shape, MemoryTag::kWeights).view();
}

ConstTensorView WeightStore::vector(const std::string& name, std::int64_t size, std::int64_t first,
                                    std::int64_t count) {
  const TensorView to = allocate(Shape{count});
  if (source_ != nullptr)
    source_->read(name, Shape{size}, {first, count, 0, 1},
                  TensorView(to.bytes(), dtype_, Shape{count, 1}));
  return to;
}

ConstTensorView WeightStore::table(const std::string& name, const Shape& shape) {
  const TensorView to = allocate(shape);
  if (source_ != nullptr) source_->read(name, shape, {0, shape[0], 0, shape[1]}, to);
  return to;
}

ops::PackedMatrix WeightStore::matrix(const std::vector<MatrixPart>& parts,
                                      std::int64_t first_column, std::int64_t columns) {
  ops::PackedMatrix w;
  w.inputs = columns;
  for (const MatrixPart& part : parts) w.outputs += part.rows;
  w.data = allocate(Shape{ops::packed_numel(ctx_.device(), dtype_, w.outputs, w.inputs)});
  if (source_ == nullptr) return w;
  std::memset(w.data.bytes(), 0, w.data.size_bytes());
  const std::int64_t row_bytes = columns * static_cast<std::int64_t>(size_bytes(dtype_));
  const std::int64_t piece =
      std::max<std::int64_t>(1, kPieceBytes / std::max<std::int64_t>(1, row_bytes));
  std::int64_t longest = 0;
  for (const MatrixPart& part : parts) longest = std::max(longest, part.rows);
  Buffer staging(ledger_, Device{}, static_cast<std::size_t>(std::min(piece, longest) * row_bytes),
                 MemoryTag::kStaging);
  std::int64_t output = 0;
  for (const MatrixPart& part : parts)
    for (std::int64_t row = 0; row < part.rows; row += piece) {
      const std::int64_t count = std::min(piece, part.rows - row);
      const TensorView rows(staging.data(), dtype_, Shape{count, columns});
      source_->read(part.name, part.shape, {part.first_row + row, count, first_column, columns},
                    rows);
      ops::pack_rows(ctx_, rows, output, w);
      output += count;
    }
  return w;
}

}  // namespace retinue::layers
