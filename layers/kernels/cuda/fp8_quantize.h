#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "parallel/device/context.h"

namespace retinue::cuda {

/// Quantises rows in groups of 128 inputs, as fp8_matmul.h says, where a product reads them.
///   x       [rows, inputs] bf16           rows may be strided; 128 divides inputs
///   q       [padded, inputs] e4m3 | bf16  16-byte aligned, without gaps; bf16 holds the values of
///                                         e4m3. Rows past those of x are zeros
///   scales  [inputs / 128, padded] f32    (cuBLASLt's VEC128_32F)
/// Numerics: a NaN becomes e4m3's, or 480 in bf16; its scale is a NaN, too.
void fp8_quantize(Context& ctx, ConstTensorView x, TensorView q, float* scales);

}  // namespace retinue::cuda
