#include "layers/weights/weight_store.h"

#include "parallel/base/check.h"

#include <algorithm>
#include <array>

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

template <class Place>
void WeightStore::stream_rows(const std::string& name, const Shape& shape, const WeightSlice& slice,
                              Place&& place) {
  const std::int64_t row_bytes = slice.columns * static_cast<std::int64_t>(size_bytes(dtype_));
  if (slice.rows == 0 || row_bytes == 0) return;
  const std::int64_t piece =
      std::min(slice.rows, std::max<std::int64_t>(1, kPieceBytes / row_bytes));
  const std::int64_t depth = piece < slice.rows ? 2 : 1;
  const Buffer staging =
      Buffer::staging(ledger_, ctx_.device(), static_cast<std::size_t>(depth * piece * row_bytes));
  std::array<Event, 2> passed{Event(ctx_.device()), Event(ctx_.device())};
  for (std::int64_t row = 0, i = 0; row < slice.rows; row += piece, ++i) {
    const std::int64_t count = std::min(piece, slice.rows - row);
    Event& event = passed[static_cast<std::size_t>(i % depth)];
    event.synchronize();
    const TensorView rows(staging.data() + i % depth * piece * row_bytes, dtype_,
                          Shape{count, slice.columns});
    source_->read(name, shape, {slice.first_row + row, count, slice.first_column, slice.columns},
                  rows);
    place(rows, row);
    event.record(ctx_.stream());
  }
  ctx_.stream().synchronize();
}

ConstTensorView WeightStore::vector(const std::string& name, std::int64_t size, std::int64_t first,
                                    std::int64_t count) {
  return table(name, Shape{size}, {first, count, 0, 1}).reshape(Shape{count});
}

ConstTensorView WeightStore::table(const std::string& name, const Shape& shape) {
  return table(name, shape, {0, shape[0], 0, shape[1]});
}

ConstTensorView WeightStore::table(const std::string& name, const Shape& shape,
                                   const WeightSlice& slice) {
  const TensorView to = allocate(Shape{slice.rows, slice.columns});
  if (source_ != nullptr)
    stream_rows(name, shape, slice, [&](ConstTensorView rows, std::int64_t row) {
      ctx_.stream().copy(to.rows(row, rows.dim(0)).bytes(), rows.bytes(), rows.size_bytes());
    });
  return to;
}

ops::PackedMatrix WeightStore::matrix(const std::vector<MatrixPart>& parts,
                                      std::int64_t first_column, std::int64_t columns) {
  ops::PackedMatrix w;
  w.inputs = columns;
  for (const MatrixPart& part : parts) w.outputs += part.rows;
  w.data = allocate(Shape{ops::packed_numel(ctx_.device(), dtype_, w.outputs, w.inputs)});
  if (source_ == nullptr) return w;
  ctx_.stream().zero(w.data.bytes(), w.data.size_bytes());
  std::int64_t output = 0;
  for (const MatrixPart& part : parts) {
    stream_rows(part.name, part.shape, {part.first_row, part.rows, first_column, columns},
                [&](ConstTensorView rows, std::int64_t row) {
                  ops::pack_rows(ctx_, rows, output + row, w);
                });
    output += part.rows;
  }
  return w;
}

}  // namespace retinue::layers
