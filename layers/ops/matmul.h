#pragma once

#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

class MatmulInput;

/// The weight of a linear layer, [outputs, inputs], in the layout that a device multiplies with: on
/// CPU panels of sixteen outputs (see kernels/cpu/simd/kernels.h), on CUDA rows that are padded
/// with zeros to 16 bytes (kernels/cuda/layout.h). Borrowed from the weight store.
struct PackedMatrix {
  TensorView data;  ///< [packed_numel] f32 | bf16 | f8_e4m3
  std::int64_t outputs = 0;
  std::int64_t inputs = 0;
  TensorView scales{};  ///< [packed_scales_numel] f32, of f8_e4m3 alone: see fp8_matmul.h
  int leaves = 1;       ///< of f8_e4m3: the leaves of its products; CUDA's layout depends on them
  bool own_kernel = false;  ///< multiplied by a kernel of our own, where own_kernel_serves
};

/// Whether there is a kernel of our own for products of bf16 in leaves of so many inputs on a GPU of
/// that compute capability (kernels/cuda/wgmma_matmul.h). Not yet run on a GPU.
constexpr bool own_kernel_serves(int major, int minor, std::int64_t leaf_inputs) {
  return major == 9 && minor == 0 && leaf_inputs % 64 == 0;
}

/// Elements that a packed [outputs, inputs] matrix occupies, padding included.
std::int64_t packed_numel(Device device, DType dtype, std::int64_t outputs, std::int64_t inputs);

/// Puts `rows` [count, inputs] in place as outputs [first_output, first_output + count). The caller
/// has zeroed the padding. For loading only. On CUDA `rows` may be host memory; the caller changes
/// it only after ctx.stream() has passed this call.
void pack_rows(Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w);

/// y[t, n] = Σ_k x[t, k] · w[n, k] (+ bias[n])
///   x     [tokens, inputs]          f32 | bf16           rows may be strided
///   w     packed [outputs, inputs]  dtype of x, or f8_e4m3: see fp8_matmul.h
///   bias  [outputs]                 dtype of x           empty: none
///   y     [tokens, outputs]         dtype of x, or f32
/// Numerics: f32 accumulators, bias added in f32, one rounding. CPU: one accumulator per output
///           walks k upwards. CUDA: one algorithm of cuBLASLt per number of inputs serves every
///           shape. The bits of a row depend on that row alone, not on tokens, outputs or threads;
///           with a tuning of TunedBits::kAny in the context (matmul_tuning.h) they depend on
///           tokens, too. With own_kernel they are other bits, and do not.
void matmul(Context& ctx, ConstTensorView x, const PackedMatrix& w, ConstTensorView bias,
            TensorView y);
///   x  made for a product with `w` (matmul_input.h)
void matmul(Context& ctx, const MatmulInput& x, const PackedMatrix& w, ConstTensorView bias,
            TensorView y);

/// The same sum cut into `leaves` equal, contiguous parts of k that are combined in the fixed tree
/// of reduce_tree.h, in f32. With fewer than all leaves this is a subtree: what a rank of the
/// tensor axis owns.
///   leaves  a power of two that divides inputs (bf16: into even parts)
void matmul_tree(Context& ctx, ConstTensorView x, const PackedMatrix& w, int leaves, TensorView y);
void matmul_tree(Context& ctx, const MatmulInput& x, const PackedMatrix& w, int leaves,
                 TensorView y);

namespace detail {
struct MatmulArgs {
  ConstTensorView x;
  PackedMatrix w;
  ConstTensorView bias;
  int leaves;
  TensorView y;
  std::byte* scratch;
  /// x where it comes quantised; `x` then has its shape and no elements.
  const MatmulInput* quantized = nullptr;
};
std::size_t matmul_scratch_bytes(Device device, DType dtype, std::int64_t rows, std::int64_t inputs,
                                 std::int64_t outputs, int leaves);
void matmul(Cpu, Context& ctx, const MatmulArgs& args);
void matmul(Cuda, Context& ctx, const MatmulArgs& args);
void pack_rows(Cpu, Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w);
void pack_rows(Cuda, Context& ctx, ConstTensorView rows, std::int64_t first_output,
               const PackedMatrix& w);
}  // namespace detail
}  // namespace retinue::ops
