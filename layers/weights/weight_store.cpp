#include "layers/weights/weight_store.h"

#include "layers/weights/weight_stream.h"
#include "parallel/base/check.h"

#include <algorithm>
#include <utility>

namespace retinue::layers {

namespace {
/// More threads read no faster from one file system.
constexpr int kMostReaders = 8;
}  // namespace

TensorView WeightStore::allocate(const Shape& shape) {
  bytes_ += shape.numel() * static_cast<std::int64_t>(size_bytes(dtype_));
  if (source_ == nullptr) return {nullptr, dtype_, shape};
  return tensors_.emplace_back(ledger_, ctx_.device(), dtype_, shape, MemoryTag::kWeights).view();
}

void WeightStore::order(Order order) {
  if (source_ == nullptr) return;
  source_->require(order.name, order.shape);
  orders_.push_back(std::move(order));
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
  order({name, shape, slice, to, {}, 0});
  return to;
}

ops::PackedMatrix WeightStore::matrix(const std::vector<MatrixPart>& parts,
                                      std::int64_t first_column, std::int64_t columns) {
  ops::PackedMatrix w;
  w.inputs = columns;
  for (const MatrixPart& part : parts) w.outputs += part.rows;
  w.data = allocate(Shape{ops::packed_numel(ctx_.device(), dtype_, w.outputs, w.inputs)});
  // Padding must be zero. Without padding every element is written anyway.
  if (source_ != nullptr && w.data.numel() != w.outputs * w.inputs)
    ctx_.stream().zero(w.data.bytes(), w.data.size_bytes());
  std::int64_t output = 0;
  for (const MatrixPart& part : parts) {
    order(
        {part.name, part.shape, {part.first_row, part.rows, first_column, columns}, {}, w, output});
    output += part.rows;
  }
  return w;
}

void WeightStore::place(const Order& order, std::int64_t row, ConstTensorView rows) {
  if (order.matrix.outputs > 0)
    ops::pack_rows(ctx_, rows, order.first_output + row, order.matrix);
  else
    ctx_.stream().copy(order.table.rows(row, rows.dim(0)).bytes(), rows.bytes(), rows.size_bytes());
}

std::int64_t WeightStore::rows_at_once(const Order& order, DType dtype) {
  const std::int64_t row_bytes = order.slice.columns * static_cast<std::int64_t>(size_bytes(dtype));
  return std::max<std::int64_t>(1, kPieceBytes / std::max<std::int64_t>(1, row_bytes));
}

void WeightStore::make(const Order& order, const ops::RandomRule& rule, Buffer& staging) {
  const WeightSlice& slice = order.slice;
  const std::int64_t width = order.shape.numel() / std::max<std::int64_t>(1, order.shape[0]);
  const std::int64_t first = slice.first_row * width + slice.first_column;
  if (order.matrix.outputs == 0) {
    ops::random_fill(ctx_, rule, first, width, order.table);
    return;
  }
  const std::int64_t at_once = std::min(slice.rows, rows_at_once(order, dtype_));
  const auto bytes = static_cast<std::size_t>(at_once * slice.columns) * size_bytes(dtype_);
  if (staging.size_bytes() < bytes) {
    ctx_.stream().synchronize();
    staging = Buffer(ledger_, ctx_.device(), bytes, MemoryTag::kStaging);
  }
  for (std::int64_t row = 0; row < slice.rows; row += at_once) {
    const TensorView rows(staging.data(), dtype_,
                          Shape{std::min(at_once, slice.rows - row), slice.columns});
    ops::random_fill(ctx_, rule, first + row * width, width, rows);
    place(order, row, rows);
  }
}

void WeightStore::load() {
  if (source_ == nullptr) return;
  std::vector<WeightNeed> needs;
  std::vector<const Order*> orders;  // of each need
  Buffer staging;
  for (const Order& order : orders_) {
    const WeightSlice& slice = order.slice;
    if (slice.rows == 0 || slice.columns == 0) continue;
    if (const auto rule = source_->rule(order.name, order.shape)) {
      make(order, *rule, staging);
      continue;
    }
    needs.push_back({&order.name, order.shape, slice});
    orders.push_back(&order);
  }
  ctx_.stream().synchronize();
  const auto place_rows = [&](std::size_t need, std::int64_t row, ConstTensorView rows) {
    place(*orders[need], row, rows);
  };
  if (!source_->deliver(ctx_, ledger_, dtype_, needs, place_rows)) read(orders);
  orders_.clear();
}

void WeightStore::read(std::span<const Order* const> orders) {
  std::vector<WeightPiece> pieces;
  std::vector<std::pair<const Order*, std::int64_t>> targets;  // of each piece: order and row
  for (const Order* order : orders) {
    const WeightSlice& slice = order->slice;
    const std::int64_t at_once = rows_at_once(*order, dtype_);
    for (std::int64_t row = 0; row < slice.rows; row += at_once) {
      pieces.push_back({&order->name,
                        order->shape,
                        {slice.first_row + row, std::min(at_once, slice.rows - row),
                         slice.first_column, slice.columns}});
      targets.emplace_back(order, row);
    }
  }
  stream_weights(ctx_, ledger_, *source_, dtype_, std::min(ctx_.threads(), kMostReaders), pieces,
                 [&](std::size_t i, ConstTensorView rows) {
                   place(*targets[i].first, targets[i].second, rows);
                 });
}

}  // namespace retinue::layers
