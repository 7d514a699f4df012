#include "layers/kernels/cuda/fp8_operand.h"

#include "layers/kernels/cuda/fp8_quantize.h"
#include "layers/ops/fp8_matmul.h"
#include "parallel/base/check.h"
#include "parallel/device/cuda/runtime.h"

#include <algorithm>

namespace retinue::cuda {

namespace {

int number(std::int64_t n) { return static_cast<int>(n); }

}  // namespace

bool uses_cublaslt(Device device) {
  const auto [major, minor] = compute_capability(device.index);
  return ops::fp8_kernel(major, minor) == ops::Fp8Kernel::kCublasLt;
}

Fp8Operand fp8_operand(const Context& ctx, const ops::MatmulInput& x) {
  check(reinterpret_cast<std::uintptr_t>(x.memory()) % 256 == 0,
        "quantised rows on CUDA are aligned");
  const Fp8Extent extent{x.rows(), x.inputs(), x.outputs(), x.leaves(), true};
  const bool cublaslt = uses_cublaslt(ctx.device());
  const Fp8Scratch scratch = cublaslt ? fp8_cublaslt_scratch(extent) : fp8_mma_scratch(extent);
  return {.q = x.memory() + fp8_operand_values(x.rows(), x.inputs()),
          .scales = reinterpret_cast<float*>(x.memory()),
          .rows = number(x.rows()),
          .padded = number(fp8_rows(x.rows())),
          .inputs = number(x.inputs()),
          .chunk = number(scratch.chunk),
          .widened = !cublaslt};
}

Fp8Operand fp8_chunk(Context& ctx, const ops::detail::MatmulArgs& a, const Fp8Scratch& scratch,
                     std::int64_t first, bool widened) {
  const std::int64_t count = std::min(scratch.chunk, a.x.dim(0) - first), inputs = a.w.inputs;
  Fp8Operand part{.rows = number(count),
                  .padded = number(fp8_rows(count)),
                  .inputs = number(inputs),
                  .chunk = number(fp8_rows(count)),
                  .widened = widened};
  if (a.quantized == nullptr) {
    part.q = a.scratch + scratch.q;
    part.scales = reinterpret_cast<float*>(a.scratch + scratch.scales);
    fp8_quantize(ctx, a.x.rows(first, count), part);
    return part;
  }
  const Fp8Operand all = fp8_operand(ctx, *a.quantized);
  check(all.widened == widened && all.chunk == scratch.chunk,
        "fp8_matmul: rows are quantised for the kernel that multiplies them");
  part.q = all.q + first * inputs * (widened ? 2 : 1);
  part.scales = all.scales + first * (inputs / ops::kFp8Group);
  return part;
}

}  // namespace retinue::cuda
