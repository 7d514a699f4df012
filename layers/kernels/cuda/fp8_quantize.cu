#include "layers/kernels/cuda/elements.cuh"
#include "layers/kernels/cuda/fp8_quantize.h"
#include "layers/kernels/cuda/fp8_widen.cuh"
#include "layers/ops/fp8_matmul.h"

#include <cuda_fp8.h>

namespace retinue::cuda {

namespace {

/// Neighbouring threads that share a group: half a warp.
constexpr int kThreadsPerGroup = ops::kFp8Group / kVector;

struct Quantization {
  const __nv_bfloat16* x;
  std::int64_t x_stride, rows, padded, inputs;
  std::byte* q;
  float* scales;
};

/// A block per row and some groups, a thread per vector.
///   kWiden  whether q is bf16
template <bool kVectors, bool kWiden>
__global__ void __launch_bounds__(256) fp8_quantize_kernel(Quantization a) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t first =
      (static_cast<std::int64_t>(blockIdx.y) * blockDim.x + threadIdx.x) * kVector;
  const bool inside = first < a.inputs;
  Vector<__nv_bfloat16, kVector> x{};
  if (inside && row < a.rows) x = load_run<kVectors>(a.x + row * a.x_stride, first, a.inputs);
  // Compared as integers, a NaN is more than an infinity, and that more than each number.
  unsigned most = 0;
#pragma unroll
  for (int i = 0; i < kVector; ++i)
    most = max(most, static_cast<unsigned>(__bfloat16_as_ushort(x.at[i])) & 0x7FFFU);
#pragma unroll
  for (int lanes = kThreadsPerGroup / 2; lanes > 0; lanes /= 2)
    most = max(most, __shfl_xor_sync(0xFFFFFFFFU, most, lanes));
  if (!inside) return;
  const float scale = __fdiv_rn(__uint_as_float(most << 16), 448.0F);
  const float divisor = most == 0 ? 1.0F : scale;
  Vector<__nv_fp8x2_storage_t, kVector / 2> q;
#pragma unroll
  for (int i = 0; i < kVector; i += 2)
    q.at[i / 2] = __nv_cvt_float2_to_fp8x2(
        make_float2(__fdiv_rn(to_f32(x.at[i]), divisor), __fdiv_rn(to_f32(x.at[i + 1]), divisor)),
        __NV_SATFINITE, __NV_E4M3);
  const std::int64_t at = row * a.inputs + first;
  if constexpr (kWiden) {
    Vector<std::uint32_t, kVector / 2> wide;
#pragma unroll
    for (int i = 0; i < kVector / 2; i += 2) {
      std::uint32_t pairs[2];
      widen_e4m3(q.at[i] | static_cast<std::uint32_t>(q.at[i + 1]) << 16, pairs);
      wide.at[i] = pairs[0], wide.at[i + 1] = pairs[1];
    }
    store(reinterpret_cast<std::uint32_t*>(a.q + at * 2), wide);
  } else {
    store(reinterpret_cast<__nv_fp8x2_storage_t*>(a.q + at), q);
  }
  if (first % ops::kFp8Group == 0) a.scales[first / ops::kFp8Group * a.padded + row] = scale;
}

}  // namespace

void fp8_quantize(Context& ctx, ConstTensorView x, TensorView q, float* scales) {
  const std::int64_t inputs = x.dim(1), vectors = inputs / kVector;
  const auto threads = std::clamp<std::int64_t>(round_up(vectors, 32), 32, 256);
  const Quantization a{
      pointer<__nv_bfloat16>(x), x.row_stride(), x.dim(0), q.dim(0), inputs, q.bytes(), scales};
  const bool vectorised = rows_aligned(x, 16), widen = q.dtype() == DType::kBF16;
  const auto kernel =
      widen ? (vectorised ? fp8_quantize_kernel<true, true> : fp8_quantize_kernel<false, true>)
            : (vectorised ? fp8_quantize_kernel<true, false> : fp8_quantize_kernel<false, false>);
  launch(ctx, kernel, {q.dim(0), ceil_div(vectors, threads)}, static_cast<int>(threads), 0, a);
}

}  // namespace retinue::cuda
