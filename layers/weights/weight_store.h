#pragma once

// Tested through tests/layers/weights/weight_stream_test.cpp.

#include "layers/ops/matmul.h"
#include "layers/spec/fp8_weights.h"
#include "layers/weights/weight_source.h"
#include "parallel/device/context.h"

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace retinue::layers {

/// Rows of one stored matrix that become consecutive outputs of a packed one, as q, k and v of a
/// fused qkv.
struct MatrixPart {
  std::string name;
  Shape shape;                 ///< of the whole tensor
  std::int64_t first_row = 0;  ///< this rank's outputs
  std::int64_t rows = 0;
};

/// Owns a rank's weights on its device; outlives the modules, which hold views. Modules ask for
/// tensors by Hugging Face's names while they are built; load() then fills all of them, and each
/// rank reads only its slices. In a context that plans it counts bytes, allocates and reads nothing,
/// and a source only checks that it has the tensors.
class WeightStore {
 public:
  ///   source  may be null where the context plans
  ///   dtype   of the weights on the device
  ///   fp8     which projections are f8_e4m3 there and in the source; null: none. Outlives the store
  WeightStore(Context& ctx, MemoryLedger& ledger, WeightSource* source, DType dtype,
              const Fp8Weights* fp8 = nullptr)
      : ctx_(ctx), ledger_(ledger), source_(source), dtype_(dtype), fp8_(fp8) {}

  /// Elements [first, first + count) of a vector.
  /// Throws (as table() and matrix() do): UsageError when the source has no such tensor.
  ConstTensorView vector(const std::string& name, std::int64_t size, std::int64_t first,
                         std::int64_t count);
  ConstTensorView vector(const std::string& name, std::int64_t size) {
    return vector(name, size, 0, size);
  }
  /// A whole matrix, not packed (the table of positions).
  ConstTensorView table(const std::string& name, const Shape& shape);
  /// A packed matrix of the parts' rows, columns [first_column, first_column + columns) of each.
  ops::PackedMatrix matrix(const std::vector<MatrixPart>& parts, std::int64_t first_column,
                           std::int64_t columns);

  /// The same for a linear layer of the decoder, which may be f8_e4m3 with scales.
  ///   leaves  of its products: see matmul_tree()
  /// Throws: as matrix(); UsageError on CUDA where one of the parts, of which all or none are
  ///         f8_e4m3, is no whole number of blocks of scales.
  ops::PackedMatrix projection(const std::vector<MatrixPart>& parts, std::int64_t first_column,
                               std::int64_t columns, int leaves = 1);

  /// Fills all tensors that were asked for; a module asks for none afterwards. A source that
  /// delivers does so in its own order. Otherwise several threads read files ahead of the copies to
  /// the device. Random weights are computed on the device.
  /// Throws: the source's error when it cannot be read; SystemError when memory is short.
  void load();

  /// A product that a module will compute; tune_matmul times these at start.
  struct Product {
    ops::PackedMatrix weight;
    bool bias = false;
    DType y = DType::kBF16;
    int leaves = 1;  ///< see matmul_tree()
  };
  void will_multiply(const Product& product) { products_.push_back(product); }
  [[nodiscard]] std::span<const Product> products() const { return products_; }

  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  /// Rows of a packed matrix, from an output on.
  struct PackedRows {
    ops::PackedMatrix matrix;
    std::int64_t first_output = 0;
  };
  /// The scales of a part of a packed matrix: outputs [begin, end). `first` as in pack_scales.
  struct PackedScales {
    ops::PackedMatrix matrix;
    std::int64_t first = 0, begin = 0, end = 0;
  };
  /// A slice and its destination; a view is a table.
  struct Order {
    std::string name;
    Shape shape;
    WeightSlice slice;
    DType dtype;
    std::variant<TensorView, PackedRows, PackedScales> to;
  };

  TensorView allocate(const Shape& shape, DType dtype);
  void order(Order order);
  ops::PackedMatrix matrix(const std::vector<MatrixPart>& parts, std::int64_t first_column,
                           std::int64_t columns, DType dtype, int leaves);
  void order_scales(const MatrixPart& part, const ops::PackedMatrix& w, std::int64_t first_output,
                    std::int64_t first_column);
  /// Rows of an order that are read or computed at once.
  static std::int64_t rows_at_once(const Order& order);
  ConstTensorView table(const std::string& name, const Shape& shape, const WeightSlice& slice);
  void make(const Order& order, const ops::RandomRule& rule, Buffer& staging);
  /// Reads by this rank alone, slice by slice.
  void read(std::span<const Order* const> orders);
  /// Puts `rows` at the destination of the order's rows from `row` on.
  void place(const Order& order, std::int64_t row, ConstTensorView rows);

  Context& ctx_;
  MemoryLedger& ledger_;
  WeightSource* source_;
  bool fills_ = source_ != nullptr && !ctx_.planning();
  DType dtype_;
  const Fp8Weights* fp8_;
  std::vector<Product> products_;
  std::int64_t bytes_ = 0;
  std::deque<Tensor> tensors_;
  std::vector<Order> orders_;
};

}  // namespace retinue::layers
