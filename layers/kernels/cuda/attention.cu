#include "layers/kernels/cuda/attention_tile.cuh"
#include "layers/kernels/cuda/launch.h"
#include "layers/ops/attention.h"

#include <algorithm>

namespace retinue::ops::detail {
namespace {

using namespace retinue::cuda;

/// Segments of one launch, by value: the list may be gone when the kernel runs.
struct Segments {
  static constexpr int kMost = 512;
  int count;
  int starts[kMost + 1];  ///< first patch of each segment, and the end of the last
};

struct Operands {
  const __nv_bfloat16 *q, *k, *v;
  std::int64_t q_stride, k_stride, v_stride;
  __nv_bfloat16* y;
  std::int64_t y_stride;
  int head_dim;
  float scale_log2;
  bool aligned;
};

template <int kDim>
__global__ void __launch_bounds__(kAttentionThreads)
    attention_kernel(const Operands operands, const Segments segments) {
  const AttentionTilePlace place =
      find_attention_tile(static_cast<int>(blockIdx.x), segments.count,
                          [&](int s) { return segments.starts[s] - segments.starts[0]; });
  const int first = segments.starts[place.sequence];
  const int length = segments.starts[place.sequence + 1] - first;
  if (place.first_row >= length) return;

  const std::int64_t channels = static_cast<std::int64_t>(blockIdx.y) * operands.head_dim;
  const __nv_bfloat16* const k = operands.k + first * operands.k_stride + channels;
  const __nv_bfloat16* const v = operands.v + first * operands.v_stride + channels;
  const std::int64_t first_row = first + place.first_row;
  const AttentionWork work{min(kAttentionRows, length - place.first_row),
                           0,
                           length,
                           operands.head_dim,
                           operands.scale_log2,
                           operands.aligned};
  AttentionState<kDim> result;
  attend<kDim>(
      work, [&](int row) { return operands.q + (first_row + row) * operands.q_stride + channels; },
      [&](int key) {
        return KeyAndValue{k + key * operands.k_stride, v + key * operands.v_stride};
      },
      [&](int) { return length; }, result);
  for_each_output(work, result, [&](int row, int channel, int h, float value) {
    operands.y[(first_row + row) * operands.y_stride + channels + channel] =
        __float2bfloat16(__fdiv_rn(value, result.sum[h]));
  });
}

}  // namespace

void attention(Cuda, Context& ctx, ConstTensorView q, ConstTensorView k, ConstTensorView v,
               std::span<const std::int64_t> cu_seqlens, float scale, TensorView y, std::byte*) {
  check(q.dtype() == DType::kBF16, "attention on CUDA computes bf16");
  const auto device = [](const ConstTensorView& x) {
    return reinterpret_cast<const __nv_bfloat16*>(x.data<BFloat16>());
  };
  const std::int64_t head_dim = q.dim(2);
  const Operands operands{
      device(q),
      device(k),
      device(v),
      q.row_stride(),
      k.row_stride(),
      v.row_stride(),
      reinterpret_cast<__nv_bfloat16*>(y.data<BFloat16>()),
      y.row_stride(),
      static_cast<int>(head_dim),
      scale * kLog2E,
      rows_are_vectors(q, head_dim) && rows_are_vectors(k, head_dim) &&
          rows_are_vectors(v, head_dim),
  };
  const auto all = static_cast<std::int64_t>(cu_seqlens.size()) - 1;
  for (std::int64_t from = 0; from < all; from += Segments::kMost) {
    Segments segments{};
    segments.count = static_cast<int>(std::min<std::int64_t>(Segments::kMost, all - from));
    for (int s = 0; s <= segments.count; ++s)
      segments.starts[s] = static_cast<int>(cu_seqlens[static_cast<std::size_t>(from + s)]);
    const Grid grid{
        attention_tiles(segments.starts[segments.count] - segments.starts[0], segments.count),
        q.dim(1)};
    const auto run = [&]<int kDim>() {
      launch(ctx, attention_kernel<kDim>, grid, kAttentionThreads, kAttentionSharedBytes<kDim>,
             operands, segments);
    };
    if (head_dim <= 64)
      run.template operator()<64>();
    else if (head_dim <= 80)
      run.template operator()<80>();
    else if (head_dim <= 128)
      run.template operator()<128>();
    else
      run.template operator()<256>();  // correct, not fast: spills registers
  }
}

}  // namespace retinue::ops::detail
