#include "layers/ops/matmul.h"

#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/row_sweeps.h"
#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/kernels/cuda/matmul_scratch.h"

#include <cstring>

namespace retinue::ops {

namespace {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }
constexpr std::int64_t pair(DType dtype) { return dtype == DType::kF32 ? 1 : 2; }
/// Calls body with a value of the type of a packed weight's elements.
template <class Body>
void on_weight_dtype(DType dtype, Body&& body) {
  if (dtype == DType::kF8E4M3)
    body(Float8E4M3{});
  else
    on_float_dtype(dtype, body);
}

}  // namespace

std::int64_t packed_numel(Device device, DType dtype, std::int64_t outputs, std::int64_t inputs) {
  if (device.type == DeviceType::kCuda)
    return (dtype == DType::kF8E4M3 ? cuda::fp8_outputs(outputs) : outputs) *
           cuda::leading_dimension(inputs);
  return round_up(outputs, simd::kPanel) * round_up(inputs, pair(dtype));
}

namespace detail {

std::size_t matmul_scratch_bytes(Device device, DType dtype, std::int64_t rows, std::int64_t inputs,
                                 std::int64_t outputs, int leaves) {
  if (device.type == DeviceType::kCuda)
    return cuda::matmul_scratch(rows, inputs, outputs, leaves).bytes;
  return static_cast<std::size_t>(std::min(rows, kRowsPerSweep) * round_up(inputs, pair(dtype))) *
         size_bytes(dtype);
}

void pack_rows(Cpu, Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w) {
  on_weight_dtype(w.data.dtype(), [&](auto element) {
    using T = decltype(element);
    constexpr std::int64_t kStep = simd::kPair<T>;
    const T* from = rows.data<T>();
    T* to = w.data.data<T>();
    const std::int64_t padded = round_up(w.inputs, kStep), whole = w.inputs / kStep * kStep;
    const std::int64_t last_output = first_output + rows.dim(0);
    const std::int64_t first_panel = first_output / simd::kPanel;
    const std::int64_t panels = round_up(last_output, simd::kPanel) / simd::kPanel - first_panel;
    // A panel's rows together: the writes are then one stream, and a cache line has one writer.
    parallel_for(ctx, panels, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t p = first_panel + begin; p < first_panel + end; ++p) {
        const std::int64_t n = std::max(first_output, p * simd::kPanel);
        const std::int64_t count = std::min(last_output, (p + 1) * simd::kPanel) - n;
        T* out = to + p * simd::kPanel * padded + n % simd::kPanel * kStep;
        const T* in = from + (n - first_output) * rows.row_stride();
        for (std::int64_t k = 0; k < whole; k += kStep, out += simd::kPanel * kStep)
          for (std::int64_t r = 0; r < count; ++r)
            std::memcpy(out + r * kStep, in + r * rows.row_stride() + k, kStep * sizeof(T));
        for (std::int64_t r = 0; r < count && whole < w.inputs; ++r)
          out[r * kStep] = in[r * rows.row_stride() + whole];
      }
    });
  });
}

void matmul(Cpu, Context& ctx, const MatmulArgs& a) {
  on_float_dtype(a.x.dtype(), [&](auto element) {
    using T = decltype(element);
    const simd::Kernels<T>& kernels = simd::kernels<T>(ctx.cpu_isa());
    const std::int64_t k = round_up(a.w.inputs, simd::kPair<T>);
    auto* packed = reinterpret_cast<T*>(a.scratch);
    const auto pack = [&](const RowSweep& sweep, std::int64_t begin, std::int64_t end) {
      kernels.pack_rows({a.x.data<T>() + (sweep.first + begin) * a.x.row_stride(), a.x.row_stride(),
                         end - begin, sweep.count, a.w.inputs, k, packed + begin * k});
    };
    const auto multiply = [&](const RowSweep& sweep, std::int64_t column, std::int64_t columns) {
      simd::MatmulBlock<T> block{};
      block.x = packed;
      block.panels = a.w.data.data<T>() + column * k;
      block.k = k;
      block.leaf_k = a.leaves == 1 ? k : k / a.leaves;
      block.rows = sweep.count;
      block.columns = columns;
      block.bias = a.bias.numel() > 0 ? a.bias.data<T>() + column : nullptr;
      block.y = output_at(a, sweep.first, column);
      block.y_stride = a.y.row_stride();
      block.y_is_f32 = a.y.dtype() == DType::kF32;
      kernels.matmul(block);
    };
    sweep_rows(ctx, a.x.dim(0), a.w.outputs, 1 + 32768 / k, pack, multiply);
  });
}

}  // namespace detail
}  // namespace retinue::ops
