#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include "parallel/base/check.h"
#include "parallel/device/context.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace retinue::ops {

/// Runs body(begin, end) over [0, count) in pieces of at least `grain`, on the context's threads. A
/// free thread takes the next piece: no result may depend on which thread computes what.
template <class Body>
void parallel_for(const Context& ctx, std::int64_t count, std::int64_t grain, Body&& body) {
  if (count <= 0) return;
  const std::int64_t pieces = std::clamp<std::int64_t>(count / std::max<std::int64_t>(grain, 1), 1,
                                                       4 * std::int64_t{ctx.threads()});
  if (ctx.threads() == 1 || pieces == 1) {
    body(std::int64_t{0}, count);
    return;
  }
#pragma omp parallel for num_threads(ctx.threads()) schedule(dynamic, 1)
  for (std::int64_t piece = 0; piece < pieces; ++piece)
    body(count * piece / pieces, count * (piece + 1) / pieces);
}

/// Calls body with a value of the element type: body(float{}) or body(BFloat16{}).
template <class Body>
void on_float_dtype(DType dtype, Body&& body) {
  if (dtype == DType::kF32)
    body(float{});
  else if (dtype == DType::kBF16)
    body(BFloat16{});
  else
    check(false, "an element type that no kernel serves");
}

}  // namespace retinue::ops
