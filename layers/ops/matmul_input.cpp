#include "layers/ops/matmul_input.h"

#include "layers/ops/dispatch.h"

namespace retinue::ops {

namespace {

bool quantizes(Device device, const PackedMatrix& w) {
  // On CPU a product quantises while it packs its rows, which it does for every dtype.
  return device.type == DeviceType::kCuda && w.data.dtype() == DType::kF8E4M3;
}

DType dtype_of_rows(const PackedMatrix& w) {
  return w.data.dtype() == DType::kF8E4M3 ? DType::kBF16 : w.data.dtype();
}

}  // namespace

std::size_t MatmulInput::size_bytes(Device device, std::int64_t rows, const PackedMatrix& w) {
  if (quantizes(device, w)) return detail::quantized_bytes(rows, w.inputs);
  return static_cast<std::size_t>(rows * w.inputs) * retinue::size_bytes(dtype_of_rows(w));
}

MatmulInput::MatmulInput(Device device, std::byte* memory, std::int64_t rows, const PackedMatrix& w)
    : tensor_(memory, dtype_of_rows(w), Shape{rows, w.inputs}),
      outputs_(w.outputs),
      leaves_(w.leaves),
      quantized_(quantizes(device, w)) {}

MatmulInput MatmulInput::alloc(Context& ctx, std::int64_t rows, const PackedMatrix& w) {
  const auto bytes = static_cast<std::int64_t>(size_bytes(ctx.device(), rows, w));
  return {ctx.device(), ctx.alloc({bytes}, DType::kU8).bytes(), rows, w};
}

TensorView MatmulInput::tensor() const {
  check(!quantized_, "quantised rows are no tensor");
  return tensor_;
}

bool MatmulInput::is_for(const PackedMatrix& w, int leaves) const {
  return inputs() == w.inputs &&
         (!quantized_ || (outputs_ == w.outputs && leaves_ == leaves && w.leaves == leaves));
}

void quantize(Context& ctx, ConstTensorView x, const MatmulInput& y) {
  check(y.is_quantized(), "quantize: y is quantised");
  check(x.shape() == Shape({y.rows(), y.inputs()}) && x.dtype() == y.dtype(),
        "quantize: x is [rows, inputs] bf16");
  on_cuda(ctx, "quantize", [&](auto cuda) { detail::quantize(cuda, ctx, x, y); });
}

}  // namespace retinue::ops
