#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>

namespace retinue::cuda {

/// Quantises rows in groups of 128 inputs, as fp8_matmul.h says, where cuBLASLt reads them.
///   x       [rows, inputs] bf16         rows may be strided; 128 divides inputs
///   padded  rows of the results; those past the rows of x are zeros
///   q       [padded, inputs] e4m3       16-byte aligned
///   scales  [inputs / 128, padded] f32  (VEC128_32F)
void fp8_quantize(Context& ctx, ConstTensorView x, std::int64_t padded, std::byte* q,
                  float* scales);

}  // namespace retinue::cuda
