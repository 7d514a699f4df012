#include "layers/ops/fp8_matmul.h"

#include "layers/kernels/cpu/row_sweeps.h"
#include "layers/kernels/cpu/simd/fp8.h"
#include "layers/kernels/cuda/fp8_scratch.h"
#include "layers/kernels/cuda/layout.h"
#include "layers/ops/matmul_input.h"

#include <algorithm>

namespace retinue::ops {

namespace {

using detail::kRowsPerSweep;

/// Where the parts of the scratch begin, in bytes.
struct Scratch {
  std::int64_t scales, widened, widened_per_thread, bytes;

  Scratch(std::int64_t rows, std::int64_t inputs, int threads)
      : scales(std::min(rows, kRowsPerSweep) * inputs * 2),
        widened((scales + std::min(rows, kRowsPerSweep) * (inputs / kFp8Group) * 4 + 63) / 64 * 64),
        widened_per_thread(simd::kWidenedPanels * simd::kPanel * inputs * 2),
        bytes(widened + threads * widened_per_thread) {}
};

}  // namespace

std::int64_t packed_scales_numel(Device device, std::int64_t outputs, std::int64_t inputs,
                                 int leaves) {
  if (device.type == DeviceType::kCuda) return cuda::fp8_scales(outputs, inputs, leaves).numel;
  return detail::panels_of(outputs) * simd::kPanel * (inputs / kFp8Group);
}

namespace detail {

std::size_t quantized_bytes(std::int64_t rows, std::int64_t inputs) {
  return cuda::fp8_operand_bytes(rows, inputs);
}

std::size_t fp8_matmul_scratch_bytes(const Context& ctx, std::int64_t rows, const PackedMatrix& w,
                                     int leaves, bool quantized) {
  if (ctx.device().type == DeviceType::kCuda)
    return cuda::fp8_scratch_bytes({rows, w.inputs, w.outputs, leaves, quantized});
  return static_cast<std::size_t>(Scratch(rows, w.inputs, ctx.threads()).bytes);
}

void pack_scales(Cpu, Context& /*ctx*/, ConstTensorView scales, std::int64_t first,
                 std::int64_t begin, std::int64_t end, const PackedMatrix& w) {
  const std::int64_t groups = w.inputs / kFp8Group;
  auto* to = w.scales.data<float>();
  for (std::int64_t block = 0; block < scales.dim(0); ++block) {
    const float* row = scales.data<float>() + block * scales.row_stride();
    const std::int64_t from = std::max(begin, first + block * kFp8Group);
    const std::int64_t last = std::min(end, first + (block + 1) * kFp8Group);
    for (std::int64_t n = from; n < last; ++n)
      for (std::int64_t group = 0; group < groups; ++group)
        to[(n / simd::kPanel * groups + group) * simd::kPanel + n % simd::kPanel] = row[group];
  }
}

void fp8_matmul(Cpu, Context& ctx, const MatmulArgs& a) {
  const simd::Fp8Kernels& kernels = simd::fp8_kernels(ctx.cpu_isa());
  const std::int64_t k = a.w.inputs, groups = k / kFp8Group;
  const Scratch scratch(a.x.dim(0), k, ctx.threads());
  auto* packed = reinterpret_cast<BFloat16*>(a.scratch);
  auto* x_scales = reinterpret_cast<float*>(a.scratch + scratch.scales);
  const auto pack = [&](const RowSweep& sweep, std::int64_t begin, std::int64_t end) {
    kernels.quantize_rows({a.x.data<BFloat16>() + (sweep.first + begin) * a.x.row_stride(),
                           a.x.row_stride(), end - begin, sweep.count, k, packed + begin * k,
                           x_scales + begin * groups});
  };
  const auto multiply = [&](const RowSweep& sweep, std::int64_t column, std::int64_t columns) {
    simd::Fp8Block block{};
    block.x = packed;
    block.x_scales = x_scales;
    block.panels = a.w.data.data<Float8E4M3>() + column * k;
    block.scales = a.w.scales.data<float>() + column * groups;
    block.k = k;
    block.leaf_k = k / a.leaves;
    block.rows = sweep.count;
    block.columns = columns;
    block.widened = reinterpret_cast<BFloat16*>(a.scratch + scratch.widened +
                                                omp_get_thread_num() * scratch.widened_per_thread);
    block.y = output_at(a, sweep.first, column);
    block.y_stride = a.y.row_stride();
    block.y_is_f32 = a.y.dtype() == DType::kF32;
    kernels.matmul(block);
  };
  sweep_rows(ctx, a.x.dim(0), a.w.outputs, 1 + 8192 / k, pack, multiply);
}

}  // namespace detail
}  // namespace retinue::ops
