#pragma once

#include "layers/ops/matmul.h"

#include <cstdint>

namespace retinue::ops {

/// Inputs that share a scale: of an activation, and of a weight's block.
inline constexpr std::int64_t kFp8Group = 128;

/// Elements of the scales that belong to a packed [outputs, inputs] matrix of e4m3.
///   leaves  of its products
std::int64_t packed_scales_numel(Device device, std::int64_t outputs, std::int64_t inputs,
                                 int leaves);

/// What multiplies f8_e4m3 on a GPU: nothing, cuBLASLt, or a kernel of our own.
enum class Fp8Kernel { kNone, kCublasLt, kMma };

/// By compute capability. cuBLASLt has products with a scale per block on Hopper alone, and the
/// kernel needs 8.0. Their bits differ; the fingerprint names the capability.
constexpr Fp8Kernel fp8_kernel(int major, int minor) {
  if (major == 9 && minor == 0) return Fp8Kernel::kCublasLt;
  return major >= 8 ? Fp8Kernel::kMma : Fp8Kernel::kNone;
}

/// Puts rows of a stored matrix of scales, one for each block of 128 outputs and 128 inputs, in
/// place for some outputs of a packed matrix. For loading only.
///   scales  [blocks, w.inputs / 128]  f32
///   first   the output of `w` that the first row of the stored matrix would have: negative where
///           the matrix begins before this rank's part. Row b is for outputs [first + 128 b, + 128)
///   begin, end  the outputs of `w` that may be written. On CUDA `first` and `begin` are multiples
///               of 128, and `end` is one or the last output; `scales` may be host memory
void pack_scales(Context& ctx, ConstTensorView scales, std::int64_t first, std::int64_t begin,
                 std::int64_t end, const PackedMatrix& w);

/// y = x · wᵀ where w is e4m3 with a scale for each output and group of 128 inputs. matmul() and
/// matmul_tree() call it for such a w. HF FP8Linear (transformers 4.57).
///   x  [tokens, inputs]    bf16   rows may be strided; 128 divides inputs / leaves
///   y  [tokens, outputs]   bf16 | f32
/// Numerics: a group of 128 inputs of a row has the scale s = max |x| / 448 (f32 division) and the
///           values q = e4m3(x / s), to nearest, halves to even, at most ±448; in a group of zeros
///           q is 0. Σ q · w of a group is summed in f32 like a bf16 product; then total =
///           fma(Σ, s · scale, total) in f32, groups upwards. Leaves and rounding are those of
///           matmul_tree(). A row with a NaN or an infinity has no finite output.
///           The bits of a row depend on that row alone.
///           CUDA: w.leaves are the product's. On Hopper one algorithm of cuBLASLt per number of
///           inputs of a leaf; a group's sum has the precision of its tensor cores for e4m3, about
///           14 bits (DeepSeek-AI 2024, arXiv:2412.19437, 3.5.2). On other GPUs bf16 instructions,
///           in one order (kernels/cuda/fp8_mma.h).
namespace detail {
///   quantized  whether rows come so (matmul_input.h)
std::size_t fp8_matmul_scratch_bytes(const Context& ctx, std::int64_t rows, const PackedMatrix& w,
                                     int leaves, bool quantized = false);
void fp8_matmul(Cpu, Context& ctx, const MatmulArgs& args);
void fp8_matmul(Cuda, Context& ctx, const MatmulArgs& args);
void pack_scales(Cpu, Context& ctx, ConstTensorView scales, std::int64_t first, std::int64_t begin,
                 std::int64_t end, const PackedMatrix& w);
void pack_scales(Cuda, Context& ctx, ConstTensorView scales, std::int64_t first, std::int64_t begin,
                 std::int64_t end, const PackedMatrix& w);
}  // namespace detail
}  // namespace retinue::ops
