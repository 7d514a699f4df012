#pragma once

// Tested through tests/layers/ops/wgmma_matmul_test.cpp.

#include "layers/ops/matmul.h"

namespace retinue::cuda {

/// matmul_tree of bf16 by a kernel of our own: all leaves meet in the registers of one thread, so that
/// no sum passes through memory. Not yet run on a GPU.
///   args  without a bias; of its scratch only matmul_scratch's `x` is used, where x is not aligned
/// Numerics: a leaf is one f32 accumulator that takes 16 products at a time, k upwards, as a wgmma adds
///           them; the leaves meet in the tree of reduce_tree.h. The bits of a row depend on that row
///           alone, not on tokens, outputs or the rank that has the leaf; they are not cuBLASLt's.
/// Throws:   BugError where own_kernel_serves is false.
void wgmma_matmul(Context& ctx, const ops::detail::MatmulArgs& args);

}  // namespace retinue::cuda
