// Ops on positions: rotary tables and rotations, the interpolated position embedding.
#include "layers/kernels/cuda/elements.cuh"
#include "layers/ops/interpolate.h"
#include "layers/ops/patch_positions.h"
#include "layers/ops/rope.h"

namespace retinue::ops::detail {

namespace {

using namespace cuda;

/// Slots that fit into the parameters of a launch.
constexpr std::int64_t kSlotsPerLaunch = 128;
struct Slots {
  std::int32_t axis[kSlotsPerLaunch];
  float inv_freq[kSlotsPerLaunch];
};

/// A thread block per token, a thread per slot.
__global__ void __launch_bounds__(kSlotsPerLaunch)
    rope_table_kernel(const std::int32_t* positions, std::int64_t positions_stride,
                      const __grid_constant__ Slots slots, int count, float scale, bool to_bf16,
                      float* cos_table, float* sin_table, std::int64_t cos_stride,
                      std::int64_t sin_stride) {
  const std::int64_t token = blockIdx.x;
  const int slot = static_cast<int>(threadIdx.x);
  if (slot >= count) return;
  const std::int32_t position = positions[slots.axis[slot] * positions_stride + token];
  // The f32 product with its rounding is part of the reference; see kernels/cpu/positions.cpp.
  const auto angle = static_cast<double>(slots.inv_freq[slot] * static_cast<float>(position));
  float c = static_cast<float>(cos(angle)) * scale;
  float s = static_cast<float>(sin(angle)) * scale;
  if (to_bf16) c = rounded<__nv_bfloat16>(c), s = rounded<__nv_bfloat16>(s);
  cos_table[token * cos_stride + slot] = c;
  sin_table[token * sin_stride + slot] = s;
}

template <class T, int kCount, bool kEachStep>
struct Rotate {
  T* x;
  const float *cos_table, *sin_table;
  std::int64_t x_stride, cos_stride, sin_stride, half;

  __device__ void operator()(std::int64_t token, std::int64_t vector) const {
    const auto [head, j] = divide(vector * kCount, half);
    T* low_at = x + token * x_stride + head * 2 * half + j;
    auto low = load<kCount>(low_at), high = load<kCount>(low_at + half);
    const auto c = load<kCount>(cos_table + token * cos_stride + j);
    const auto s = load<kCount>(sin_table + token * sin_stride + j);
    const auto step = [](float value) { return kEachStep ? rounded<T>(value) : value; };
    for (int i = 0; i < kCount; ++i) {
      const float a = to_f32(low.at[i]), b = to_f32(high.at[i]);
      low.at[i] = from_f32<T>(step(a * c.at[i]) - step(b * s.at[i]));
      high.at[i] = from_f32<T>(step(b * c.at[i]) + step(a * s.at[i]));
    }
    store(low_at, low), store(low_at + half, high);
  }
};

/// One corner-aligned axis at one index: the two table indices and the weight of the second.
/// torch.linspace(0, side - 1, count) in f32, bit for bit; see kernels/cpu/positions.cpp.
struct Corner {
  std::int64_t low, high;
  float fraction;

  __device__ Corner(std::int64_t side, std::int64_t count, std::int64_t i) {
    const auto end = static_cast<float>(side - 1);
    const float step = count > 1 ? end / static_cast<float>(count - 1) : 0.0F;
    const float u = i < count / 2 || count == 1
                        ? step * static_cast<float>(i)
                        : __fmaf_rn(-step, static_cast<float>(count - 1 - i), end);
    low = static_cast<std::int64_t>(u);
    high = low + 1 < side ? low + 1 : side - 1;
    fraction = u - static_cast<float>(low);
  }
};

template <class T, int kCount>
struct Interpolate {
  const T* table;
  T* y;
  std::int64_t table_stride, y_stride, side, frames, rows, columns, merge;

  __device__ void operator()(std::int64_t patch, std::int64_t vector) const {
    // Merge order: block row, block column, row in the block, column in the block.
    const auto [block, inside] = divide(patch, merge * merge);
    const auto [block_row, block_column] = divide(block, columns / merge);
    const auto [row, column] = divide(inside, merge);
    const Corner vertical(side, rows, block_row * merge + row);
    const Corner horizontal(side, columns, block_column * merge + column);
    const float fy = vertical.fraction, fx = horizontal.fraction;
    const float weight[4] = {rounded<T>((1 - fy) * (1 - fx)), rounded<T>((1 - fy) * fx),
                             rounded<T>(fy * (1 - fx)), rounded<T>(fy * fx)};
    const std::int64_t index[4] = {
        side * vertical.low + horizontal.low, side * vertical.low + horizontal.high,
        side * vertical.high + horizontal.low, side * vertical.high + horizontal.high};
    float sum[kCount];
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      const auto from = load<kCount>(table + index[corner] * table_stride + vector * kCount);
      for (int k = 0; k < kCount; ++k) {
        const float product = rounded<T>(to_f32(from.at[k]) * weight[corner]);
        sum[k] = corner == 0 ? product : rounded<T>(sum[k] + product);
      }
    }
    for (std::int64_t frame = 0; frame < frames; ++frame) {
      T* at = y + (frame * rows * columns + patch) * y_stride + vector * kCount;
      auto out = load<kCount>(at);
      for (int k = 0; k < kCount; ++k) out.at[k] = from_f32<T>(to_f32(out.at[k]) + sum[k]);
      store(at, out);
    }
  }
};

/// A patch per element of the row: its place in the grid, from its place in merge order.
struct PatchPosition {
  std::int32_t *row_of, *column_of;
  std::int64_t rows, columns, merge;

  __device__ void operator()(std::int64_t frame, std::int64_t patch) const {
    const auto [block, inside] = divide(patch, merge * merge);
    const auto [block_row, block_column] = divide(block, columns / merge);
    const auto [row, column] = divide(inside, merge);
    const std::int64_t at = frame * rows * columns + patch;
    row_of[at] = static_cast<std::int32_t>(block_row * merge + row);
    column_of[at] = static_cast<std::int32_t>(block_column * merge + column);
  }
};

}  // namespace

void rope_table(Cuda, Context& ctx, ConstTensorView positions,
                std::span<const std::int32_t> axis_of_slot, std::span<const float> inv_freq,
                float scale, DType rounded_to, TensorView cos, TensorView sin) {
  const auto slots = static_cast<std::int64_t>(inv_freq.size());
  for (std::int64_t first = 0; first < slots; first += kSlotsPerLaunch) {
    Slots chunk{};
    const std::int64_t count = std::min(kSlotsPerLaunch, slots - first);
    std::copy_n(axis_of_slot.begin() + first, count, chunk.axis);
    std::copy_n(inv_freq.begin() + first, count, chunk.inv_freq);
    launch(ctx, rope_table_kernel, {cos.dim(0)}, static_cast<int>(round_up(count, 32)), 0,
           positions.data<std::int32_t>(), positions.row_stride(), chunk, static_cast<int>(count),
           scale, rounded_to == DType::kBF16, cos.data<float>() + first, sin.data<float>() + first,
           cos.row_stride(), sin.row_stride());
  }
}

void rope(Cuda, Context& ctx, TensorView x, ConstTensorView cos, ConstTensorView sin,
          RopeRounding rounding) {
  const std::int64_t heads = x.dim(1), half = x.dim(2) / 2;
  on_element(x.dtype(), [&](auto element) {
    using T = decltype(element);
    on_vector(takes_vectors(half, x, cos, sin), [&](auto count) {
      const auto with = [&](auto each_step) {
        over_rows(
            ctx, x.dim(0), heads * half / count,
            Rotate<T, count, each_step>{pointer<T>(x), cos.data<float>(), sin.data<float>(),
                                        x.row_stride(), cos.row_stride(), sin.row_stride(), half});
      };
      rounding == RopeRounding::kEachStep ? with(std::true_type{}) : with(std::false_type{});
    });
  });
}

void add_interpolated(Cuda, Context& ctx, ConstTensorView table, std::int64_t side,
                      std::int64_t frames, std::int64_t rows, std::int64_t columns,
                      std::int64_t merge, TensorView y) {
  const std::int64_t width = y.dim(1);
  on_element(y.dtype(), [&](auto element) {
    using T = decltype(element);
    on_vector(takes_vectors(width, table, y), [&](auto count) {
      over_rows(ctx, rows * columns, width / count,
                Interpolate<T, count>{pointer<T>(table), pointer<T>(y), table.row_stride(),
                                      y.row_stride(), side, frames, rows, columns, merge});
    });
  });
}

void patch_positions(Cuda, Context& ctx, std::int64_t frames, std::int64_t rows,
                     std::int64_t columns, std::int64_t merge, TensorView positions) {
  auto* row_of = positions.data<std::int32_t>();
  over_rows(ctx, frames, rows * columns,
            PatchPosition{row_of, row_of + positions.row_stride(), rows, columns, merge});
}

}  // namespace retinue::ops::detail
