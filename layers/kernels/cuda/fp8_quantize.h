#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "layers/kernels/cuda/fp8_operand.h"
#include "parallel/device/context.h"

namespace retinue::cuda {

/// Quantises rows in groups of 128 inputs, as fp8_matmul.h says, where a product reads them. For
/// rows whose own op does not do it (fp8_quantize.cuh).
///   x  [rows, inputs] bf16   rows may be strided; 128 divides inputs
/// Numerics: a NaN becomes e4m3's, or 480 in bf16; its scale is a NaN, too.
void fp8_quantize(Context& ctx, ConstTensorView x, const Fp8Operand& to);

}  // namespace retinue::cuda
