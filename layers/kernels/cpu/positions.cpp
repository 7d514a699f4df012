// Ops on positions: rotary tables and rotations, the interpolated position embedding.
#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/ops/interpolate.h"
#include "layers/ops/patch_positions.h"
#include "layers/ops/rope.h"

#include <array>
#include <cmath>
#include <vector>

namespace retinue::ops::detail {

namespace {

float rounded(float x, float) { return x; }
float rounded(float x, BFloat16) { return to_float(to_bfloat16(x)); }
void put(float* to, float x) { *to = x; }
void put(BFloat16* to, float x) { *to = to_bfloat16(x); }

/// One corner-aligned axis: for each index the two table indices and the weight of the second.
struct Axis {
  std::vector<std::int64_t> low, high;
  std::vector<float> fraction;

  /// torch.linspace(0, side - 1, count) in f32, bit for bit: counted from the nearer end, the
  /// second half with a fused multiply-add.
  Axis(std::int64_t side, std::int64_t count) {
    const auto end = static_cast<float>(side - 1);
    const float step = count > 1 ? end / static_cast<float>(count - 1) : 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const float u = i < count / 2 || count == 1
                          ? step * static_cast<float>(i)
                          : std::fma(-step, static_cast<float>(count - 1 - i), end);
      const auto floor = static_cast<std::int64_t>(u);
      low.push_back(floor);
      high.push_back(std::min(floor + 1, side - 1));
      fraction.push_back(u - static_cast<float>(floor));
    }
  }
};

}  // namespace

void rope_table(Cpu, Context& ctx, ConstTensorView positions,
                std::span<const std::int32_t> axis_of_slot, std::span<const float> inv_freq,
                float scale, DType rounded_to, TensorView cos, TensorView sin) {
  const auto slots = static_cast<std::int64_t>(inv_freq.size());
  parallel_for(ctx, cos.dim(0), 1 + 4096 / slots, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t)
      for (std::int64_t slot = 0; slot < slots; ++slot) {
        const auto at = static_cast<std::size_t>(slot);
        const std::int32_t position =
            positions.data<std::int32_t>()[axis_of_slot[at] * positions.row_stride() + t];
        // The f32 product with its rounding is part of the reference. Sine and cosine are computed
        // in double, so that no library's f32 version decides bits.
        const auto angle = static_cast<double>(inv_freq[at] * static_cast<float>(position));
        float c = static_cast<float>(std::cos(angle)) * scale;
        float s = static_cast<float>(std::sin(angle)) * scale;
        if (rounded_to == DType::kBF16) c = rounded(c, BFloat16{}), s = rounded(s, BFloat16{});
        cos.data<float>()[t * cos.row_stride() + slot] = c;
        sin.data<float>()[t * sin.row_stride() + slot] = s;
      }
  });
}

void rope(Cpu, Context& ctx, TensorView x, ConstTensorView cos, ConstTensorView sin,
          RopeRounding rounding) {
  on_float_dtype(x.dtype(), [&](auto element) {
    using T = decltype(element);
    const simd::Kernels<T>& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t heads = x.dim(1), half = x.dim(2) / 2;
    const bool each_step = rounding == RopeRounding::kEachStep;
    parallel_for(ctx, x.dim(0), 1 + 8192 / (heads * half),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t t = begin; t < end; ++t) {
                     const float* c = cos.data<float>() + t * cos.row_stride();
                     const float* s = sin.data<float>() + t * sin.row_stride();
                     for (std::int64_t h = 0; h < heads; ++h) {
                       T* low = x.data<T>() + t * x.row_stride() + h * 2 * half;
                       kernels.rotate({low, low + half, c, s, half, each_step});
                     }
                   }
                 });
  });
}

void add_interpolated(Cpu, Context& ctx, ConstTensorView table, std::int64_t side,
                      std::int64_t frames, std::int64_t rows, std::int64_t columns,
                      std::int64_t merge, TensorView y) {
  on_float_dtype(y.dtype(), [&](auto element) {
    using T = decltype(element);
    const Axis vertical(side, rows), horizontal(side, columns);
    const std::int64_t width = y.dim(1), per_frame = rows * columns;
    parallel_for(ctx, per_frame, 1 + 8192 / width, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> sum(static_cast<std::size_t>(width));
      for (std::int64_t i = begin; i < end; ++i) {
        // Merge order: block row, block column, row in the block, column in the block.
        const std::int64_t block = i / (merge * merge), inside = i % (merge * merge);
        const auto row =
            static_cast<std::size_t>(block / (columns / merge) * merge + inside / merge);
        const auto column =
            static_cast<std::size_t>(block % (columns / merge) * merge + inside % merge);
        const float fy = vertical.fraction[row], fx = horizontal.fraction[column];
        const std::array<float, 4> weight = {rounded((1 - fy) * (1 - fx), T{}),
                                             rounded((1 - fy) * fx, T{}),
                                             rounded(fy * (1 - fx), T{}), rounded(fy * fx, T{})};
        const std::array<std::int64_t, 4> index = {
            side * vertical.low[row] + horizontal.low[column],
            side * vertical.low[row] + horizontal.high[column],
            side * vertical.high[row] + horizontal.low[column],
            side * vertical.high[row] + horizontal.high[column]};
        for (std::size_t corner = 0; corner < 4; ++corner) {
          const T* from = table.data<T>() + index[corner] * table.row_stride();
          for (std::size_t k = 0; k < sum.size(); ++k) {
            const float product = rounded(to_float(from[k]) * weight[corner], T{});
            sum[k] = corner == 0 ? product : rounded(sum[k] + product, T{});
          }
        }
        for (std::int64_t frame = 0; frame < frames; ++frame) {
          T* out = y.data<T>() + (frame * per_frame + i) * y.row_stride();
          for (std::size_t k = 0; k < sum.size(); ++k) put(out + k, to_float(out[k]) + sum[k]);
        }
      }
    });
  });
}

void patch_positions(Cpu, Context&, std::int64_t frames, std::int64_t rows, std::int64_t columns,
                     std::int64_t merge, TensorView positions) {
  auto* row_of = positions.data<std::int32_t>();
  auto* column_of = row_of + positions.row_stride();
  for (std::int64_t t = 0; t < frames; ++t)
    for (std::int64_t by = 0; by < rows; by += merge)
      for (std::int64_t bx = 0; bx < columns; bx += merge)
        for (std::int64_t iy = 0; iy < merge; ++iy)
          for (std::int64_t ix = 0; ix < merge; ++ix) {
            *row_of++ = static_cast<std::int32_t>(by + iy);
            *column_of++ = static_cast<std::int32_t>(bx + ix);
          }
}

}  // namespace retinue::ops::detail
