#pragma once

#include "parallel/device/context.h"

#include <cstdint>
#include <functional>

namespace retinue::bench {

/// y [m, n] = x [m, k] · w [n, k]ᵀ in bf16 with the algorithm that cuBLASLt's heuristic picks for
/// the shape: a ceiling for ops that use one pinned algorithm. Operands and workspace are device
/// memory, borrowed. Throws: SystemError.
std::function<void()> best_cublaslt_matmul(Context& ctx, const void* x, const void* w, void* y,
                                           std::int64_t m, std::int64_t n, std::int64_t k,
                                           void* workspace, std::size_t workspace_bytes);

}  // namespace retinue::bench
