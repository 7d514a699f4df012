#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_quantize.cuh"
#include "layers/kernels/cuda/fp8_quantize.h"

namespace retinue::cuda {

namespace {

template <bool kVectors>
struct Quantize {
  const __nv_bfloat16* x;
  std::int64_t x_stride;
  Fp8Operand to;

  __device__ void operator()(std::int64_t row, std::int64_t vector) const {
    const std::int64_t first = vector * kVector;
    Vector<__nv_bfloat16, kVector> run{};
    if (row < to.rows) run = load_run<kVectors>(x + row * x_stride, first, to.inputs);
    quantize_run(to, static_cast<int>(row), static_cast<int>(first), run);
  }
};

}  // namespace

void fp8_quantize(Context& ctx, ConstTensorView x, const Fp8Operand& to) {
  const auto with = [&](auto vectors) {
    over_rows(ctx, to.padded, to.inputs / kVector,
              Quantize<vectors>{pointer<__nv_bfloat16>(x), x.row_stride(), to});
  };
  takes_vectors(to.inputs, x) ? with(std::true_type{}) : with(std::false_type{});
}

}  // namespace retinue::cuda

namespace retinue::ops::detail {

void quantize(Cuda, Context& ctx, ConstTensorView x, const MatmulInput& y) {
  cuda::fp8_quantize(ctx, x, cuda::fp8_operand(ctx, y));
}

}  // namespace retinue::ops::detail
