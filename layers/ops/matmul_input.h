#pragma once

#include "layers/ops/matmul.h"

#include <cstddef>
#include <cstdint>

namespace retinue::ops {

/// The rows of one product, in the form in which it reads them, so that the op that makes them can
/// write that form: a tensor, or for weights of f8_e4m3 on CUDA values and scales as fp8_matmul.h
/// defines them. Then no row exists in bf16. Borrows its memory, as a view does.
class MatmulInput {
 public:
  /// Bytes of the rows of a product with `w`. Enough for every GPU: a plan is made without one.
  static std::size_t size_bytes(Device device, std::int64_t rows, const PackedMatrix& w);
  ///   memory  size_bytes(), 256-byte aligned
  MatmulInput(Device device, std::byte* memory, std::int64_t rows, const PackedMatrix& w);
  /// With memory that lives until the enclosing Frame ends.
  static MatmulInput alloc(Context& ctx, std::int64_t rows, const PackedMatrix& w);

  [[nodiscard]] std::int64_t rows() const { return tensor_.dim(0); }
  [[nodiscard]] std::int64_t inputs() const { return tensor_.dim(1); }
  /// Of the rows before they are quantised: that of `w`, or bf16.
  [[nodiscard]] DType dtype() const { return tensor_.dtype(); }
  [[nodiscard]] bool is_quantized() const { return quantized_; }
  /// [rows, inputs]. Throws: BugError where the rows are quantised.
  [[nodiscard]] TensorView tensor() const;

  /// Whether a product with `w` in `leaves` is the one that these rows are for.
  [[nodiscard]] bool is_for(const PackedMatrix& w, int leaves) const;
  /// Of quantised rows: what decides where their values and scales lie (kernels/cuda/fp8_operand.h).
  [[nodiscard]] std::byte* memory() const { return tensor_.bytes(); }
  [[nodiscard]] std::int64_t outputs() const { return outputs_; }
  [[nodiscard]] int leaves() const { return leaves_; }

 private:
  TensorView tensor_;  ///< of quantised rows: only memory, shape and dtype count
  std::int64_t outputs_;
  int leaves_;
  bool quantized_;
};

/// Quantises rows that an op has left as a tensor.
///   x  [rows, inputs]  bf16   rows may be strided
///   y  quantised
void quantize(Context& ctx, ConstTensorView x, const MatmulInput& y);

namespace detail {
/// Of values and scales, on CUDA.
std::size_t quantized_bytes(std::int64_t rows, std::int64_t inputs);
void quantize(Cuda, Context& ctx, ConstTensorView x, const MatmulInput& y);
}  // namespace detail
}  // namespace retinue::ops
