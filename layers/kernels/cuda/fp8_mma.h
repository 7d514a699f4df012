#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "layers/ops/matmul.h"

namespace retinue::cuda {

/// ops::detail::fp8_matmul by a kernel of our own, for GPUs on which cuBLASLt has no products with a
/// scale per block. It reads what pack_rows and pack_scales wrote for either. Needs compute
/// capability 8.0 and 97 KiB of shared memory in a thread block.
///   args  weights and scales 16-byte aligned, scratch 256-byte; bytes: fp8_scratch.h
/// Numerics: those of ops/fp8_matmul.h. A group is eight mma.m16n8k16 of bf16, in one order for
///           every shape.
void fp8_mma_matmul(Context& ctx, const ops::detail::MatmulArgs& args);

}  // namespace retinue::cuda
