#include "layers/kernels/cuda/launch.h"
#include "layers/kernels/cuda/matmul_tree.h"
#include "parallel/base/reduce_tree.h"

#include <cuda_bf16.h>
#include <type_traits>

namespace retinue::cuda {

namespace {

constexpr int kThreads = 256;
/// Neighbouring outputs that one thread adds up: 16 bytes of f32.
constexpr int kColumns = 4;

template <class Y>
struct LeafSums {
  const float* sums;
  std::int64_t leaf_stride, sums_stride;
  const __nv_bfloat16* bias;
  Y* y;
  std::int64_t y_stride, rows, outputs;
};

template <class Y>
__device__ Y rounded(float value) {
  if constexpr (std::is_same_v<Y, float>)
    return value;
  else
    return __float2bfloat16_rn(value);
}

template <int kLeaves, class Y>
__global__ void add_leaves_kernel(LeafSums<Y> a) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t column =
      (static_cast<std::int64_t>(blockIdx.y) * kThreads + threadIdx.x) * kColumns;
  if (column >= a.outputs) return;
  float4 leaf[kLeaves];
#pragma unroll
  for (int i = 0; i < kLeaves; ++i)
    leaf[i] =
        *reinterpret_cast<const float4*>(a.sums + i * a.leaf_stride + row * a.sums_stride + column);
    // The tree of reduce_tree.h, written out because registers need indices known to the compiler.
#pragma unroll
  for (int step = 1; step < kLeaves; step *= 2) {
#pragma unroll
    for (int i = 0; i + step < kLeaves; i += 2 * step) {
      leaf[i].x += leaf[i + step].x;
      leaf[i].y += leaf[i + step].y;
      leaf[i].z += leaf[i + step].z;
      leaf[i].w += leaf[i + step].w;
    }
  }
  const float sum[kColumns] = {leaf[0].x, leaf[0].y, leaf[0].z, leaf[0].w};
  Y* y = a.y + row * a.y_stride + column;
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    if (column + i >= a.outputs) break;
    const float bias = a.bias == nullptr ? 0.0f : __bfloat162float(a.bias[column + i]);
    y[i] = rounded<Y>(a.bias == nullptr ? sum[i] : sum[i] + bias);
  }
}

template <class Y>
void add_leaves_as(Context& ctx, const LeafSums<Y>& a, int leaves) {
  const Grid grid{a.rows, ceil_div(a.outputs, kThreads * kColumns)};
  switch (leaves) {
    case 1:
      return launch(ctx, add_leaves_kernel<1, Y>, grid, kThreads, 0, a);
    case 2:
      return launch(ctx, add_leaves_kernel<2, Y>, grid, kThreads, 0, a);
    case 4:
      return launch(ctx, add_leaves_kernel<4, Y>, grid, kThreads, 0, a);
    case 8:
      return launch(ctx, add_leaves_kernel<8, Y>, grid, kThreads, 0, a);
    default:
      break;
  }
  static_assert(kMaxLeaves == 8);
  throw BugError("matmul: a CUDA product has 1, 2, 4 or 8 leaves");
}

}  // namespace

void add_leaves(Context& ctx, const float* sums, std::int64_t leaf_stride, std::int64_t sums_stride,
                int leaves, const BFloat16* bias, TensorView y) {
  const auto arguments = [&](auto* to) {
    return LeafSums<std::remove_pointer_t<decltype(to)>>{
        sums, leaf_stride,    sums_stride, reinterpret_cast<const __nv_bfloat16*>(bias),
        to,   y.row_stride(), y.dim(0),    y.dim(1)};
  };
  if (y.dtype() == DType::kF32)
    add_leaves_as(ctx, arguments(y.data<float>()), leaves);
  else
    add_leaves_as(ctx, arguments(reinterpret_cast<__nv_bfloat16*>(y.data<BFloat16>())), leaves);
}

}  // namespace retinue::cuda
