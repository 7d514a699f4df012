#include "layers/weights/weight_store.h"

#include "layers/ops/fp8_matmul.h"
#include "layers/weights/weight_stream.h"
#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace retinue::layers {

namespace {
/// More threads read no faster from one file system.
constexpr int kMostReaders = 8;

/// "X" of "X.weight".
std::string module_of(const std::string& weight) { return weight.substr(0, weight.rfind('.')); }

/// cuBLASLt has one scale for 128 neighbouring outputs of a packed matrix, so that all parts are
/// whole blocks, but for what no other part and no other rank follows. All ranks agree.
void check_whole_blocks(const std::vector<MatrixPart>& parts) {
  for (const MatrixPart& part : parts) {
    const bool whole = part.rows == part.shape[0];
    const bool may_end_anywhere = whole && &part == &parts.back();
    if (part.first_row % kFp8Block == 0 && (part.rows % kFp8Block == 0 || may_end_anywhere))
      continue;
    throw UsageError(fmt::format(
        "[--device] cuda: a rank has {} of the {} outputs of {}, and a GPU multiplies FP8 weights "
        "in whole blocks of {} outputs. Use {}--device cpu, or the bfloat16 checkpoint of the same "
        "size.",
        part.rows, part.shape[0], module_of(part.name), kFp8Block,
        whole ? "" : "fewer ranks (--tensor-parallel), "));
  }
}

}  // namespace

TensorView WeightStore::allocate(const Shape& shape, DType dtype) {
  bytes_ += shape.numel() * static_cast<std::int64_t>(size_bytes(dtype));
  if (!fills_) return {nullptr, dtype, shape};
  return tensors_.emplace_back(ledger_, ctx_.device(), dtype, shape, MemoryTag::kWeights).view();
}

void WeightStore::order(Order order) {
  if (source_ == nullptr) return;
  source_->require(order.name, order.shape, order.dtype);
  if (fills_) orders_.push_back(std::move(order));
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
  const TensorView to = allocate(Shape{slice.rows, slice.columns}, dtype_);
  order({name, shape, slice, dtype_, to});
  return to;
}

ops::PackedMatrix WeightStore::matrix(const std::vector<MatrixPart>& parts,
                                      std::int64_t first_column, std::int64_t columns) {
  return matrix(parts, first_column, columns, dtype_, 1);
}

ops::PackedMatrix WeightStore::projection(const std::vector<MatrixPart>& parts,
                                          std::int64_t first_column, std::int64_t columns,
                                          int leaves) {
  const auto is_fp8 = [&](const MatrixPart& part) {
    return fp8_ != nullptr && fp8_->covers(module_of(part.name));
  };
  const bool fp8 = is_fp8(parts.front());
  for (const MatrixPart& part : parts)
    check(is_fp8(part) == fp8, "a configuration has all parts of a product in FP8 or none");
  if (fp8 && ctx_.device().type == DeviceType::kCuda) check_whole_blocks(parts);
  return matrix(parts, first_column, columns, fp8 ? DType::kF8E4M3 : dtype_, leaves);
}

ops::PackedMatrix WeightStore::matrix(const std::vector<MatrixPart>& parts,
                                      std::int64_t first_column, std::int64_t columns, DType dtype,
                                      int leaves) {
  ops::PackedMatrix w;
  w.inputs = columns;
  w.leaves = leaves;
  for (const MatrixPart& part : parts) w.outputs += part.rows;
  w.data = allocate(Shape{ops::packed_numel(ctx_.device(), dtype, w.outputs, w.inputs)}, dtype);
  const bool fp8 = dtype == DType::kF8E4M3;
  if (fp8)
    w.scales = allocate(Shape{ops::packed_scales_numel(ctx_.device(), w.outputs, w.inputs, leaves)},
                        DType::kF32);
  // Padding must be zero. Without padding every element is written anyway.
  if (fills_ && w.data.numel() != w.outputs * w.inputs)
    ctx_.stream().zero(w.data.bytes(), w.data.size_bytes());
  if (fills_ && fp8) ctx_.stream().zero(w.scales.bytes(), w.scales.size_bytes());
  std::int64_t output = 0;
  for (const MatrixPart& part : parts) {
    order({part.name,
           part.shape,
           {part.first_row, part.rows, first_column, columns},
           dtype,
           PackedRows{w, output}});
    if (fp8) order_scales(part, w, output, first_column);
    output += part.rows;
  }
  return w;
}

void WeightStore::order_scales(const MatrixPart& part, const ops::PackedMatrix& w,
                               std::int64_t first_output, std::int64_t first_column) {
  const auto blocks = [](std::int64_t n) { return (n + kFp8Block - 1) / kFp8Block; };
  check(first_column % kFp8Block == 0, "a rank's inputs begin with a block of scales");
  const std::int64_t first_block = part.first_row / kFp8Block;
  order({module_of(part.name) + std::string(kScaleSuffix),
         Shape{blocks(part.shape[0]), blocks(part.shape[1])},
         {first_block, blocks(part.first_row + part.rows) - first_block, first_column / kFp8Block,
          w.inputs / kFp8Block},
         DType::kF32,
         PackedScales{w, first_output + first_block * kFp8Block - part.first_row, first_output,
                      first_output + part.rows}});
}

void WeightStore::place(const Order& order, std::int64_t row, ConstTensorView rows) {
  if (const auto* packed = std::get_if<PackedRows>(&order.to)) {
    ops::pack_rows(ctx_, rows, packed->first_output + row, packed->matrix);
  } else if (const auto* scales = std::get_if<PackedScales>(&order.to)) {
    ops::pack_scales(ctx_, rows, scales->first + row * kFp8Block, scales->begin, scales->end,
                     scales->matrix);
  } else {
    const TensorView table = std::get<TensorView>(order.to).rows(row, rows.dim(0));
    ctx_.stream().copy(table.bytes(), rows.bytes(), rows.size_bytes());
  }
}

std::int64_t WeightStore::rows_at_once(const Order& order) {
  const std::int64_t row_bytes =
      order.slice.columns * static_cast<std::int64_t>(size_bytes(order.dtype));
  return std::max<std::int64_t>(1, kPieceBytes / std::max<std::int64_t>(1, row_bytes));
}

void WeightStore::make(const Order& order, const ops::RandomRule& rule, Buffer& staging) {
  const WeightSlice& slice = order.slice;
  const std::int64_t width = order.shape.numel() / std::max<std::int64_t>(1, order.shape[0]);
  const std::int64_t first = slice.first_row * width + slice.first_column;
  if (const auto* table = std::get_if<TensorView>(&order.to)) {
    ops::random_fill(ctx_, rule, first, width, *table);
    return;
  }
  const std::int64_t at_once = std::min(slice.rows, rows_at_once(order));
  const auto bytes = static_cast<std::size_t>(at_once * slice.columns) * size_bytes(order.dtype);
  if (staging.size_bytes() < bytes) {
    ctx_.stream().synchronize();
    staging = Buffer(ledger_, ctx_.device(), bytes, MemoryTag::kStaging);
  }
  for (std::int64_t row = 0; row < slice.rows; row += at_once) {
    const TensorView rows(staging.data(), order.dtype,
                          Shape{std::min(at_once, slice.rows - row), slice.columns});
    ops::random_fill(ctx_, rule, first + row * width, width, rows);
    place(order, row, rows);
  }
}

void WeightStore::load() {
  if (!fills_) return;
  std::vector<WeightNeed> needs;
  std::vector<const Order*> orders;  // of each need
  Buffer staging;
  for (const Order& order : orders_) {
    const WeightSlice& slice = order.slice;
    if (slice.rows == 0 || slice.columns == 0) continue;
    if (const auto rule = source_->rule(order.name, order.shape, order.dtype)) {
      make(order, *rule, staging);
      continue;
    }
    needs.push_back({&order.name, order.shape, slice, order.dtype});
    orders.push_back(&order);
  }
  ctx_.stream().synchronize();
  const auto place_rows = [&](std::size_t need, std::int64_t row, ConstTensorView rows) {
    place(*orders[need], row, rows);
  };
  if (!source_->deliver(ctx_, ledger_, needs, place_rows)) read(orders);
  orders_.clear();
}

void WeightStore::read(std::span<const Order* const> orders) {
  std::vector<WeightPiece> pieces;
  std::vector<std::pair<const Order*, std::int64_t>> targets;  // of each piece: order and row
  for (const Order* order : orders) {
    const WeightSlice& slice = order->slice;
    const std::int64_t at_once = rows_at_once(*order);
    for (std::int64_t row = 0; row < slice.rows; row += at_once) {
      pieces.push_back({&order->name,
                        order->shape,
                        {slice.first_row + row, std::min(at_once, slice.rows - row),
                         slice.first_column, slice.columns},
                        order->dtype});
      targets.emplace_back(order, row);
    }
  }
  stream_weights(ctx_, ledger_, *source_, std::min(ctx_.threads(), kMostReaders), pieces,
                 [&](std::size_t i, ConstTensorView rows) {
                   place(*targets[i].first, targets[i].second, rows);
                 });
}

}  // namespace retinue::layers
