#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include "parallel/device/context.h"

namespace retinue::cuda {

/// y[t, n] = tree of sums[0..leaves)[t, n] (+ bias[n]), in f32, rounded once to y's dtype.
///   sums         [leaves, tokens, outputs] f32   16-byte aligned; columns up to the next multiple
///                                                of four may be read
///   leaf_stride  elements from one leaf's sums to the next
///   sums_stride  elements from one row to the next, a multiple of four
///   bias         [outputs] bf16   null: none
void add_leaves(Context& ctx, const float* sums, std::int64_t leaf_stride, std::int64_t sums_stride,
                int leaves, const BFloat16* bias, TensorView y);

}  // namespace retinue::cuda
