#pragma once

// Tested through tests/layers/ops/matmul_test.cpp.

#include "layers/kernels/cpu/parallel_for.h"
#include "layers/kernels/cpu/simd/kernels.h"
#include "layers/ops/matmul.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace retinue::ops::detail {

/// Rows of x per sweep over the panels: their packed form should stay in the last-level cache.
inline constexpr std::int64_t kRowsPerSweep = 2048;
/// Panels per piece of work, a multiple of every tile width of the micro-kernels but one.
inline constexpr std::int64_t kPanelGrain = 24;

constexpr std::int64_t panels_of(std::int64_t outputs) {
  return (outputs + simd::kPanel - 1) / simd::kPanel;
}

/// The first of the outputs of a product that begin there.
inline std::byte* output_at(const MatmulArgs& a, std::int64_t row, std::int64_t column) {
  return a.y.bytes() +
         (row * a.y.row_stride() + column) * static_cast<std::int64_t>(size_bytes(a.y.dtype()));
}

/// The rows of a sweep: [first, first + count) of x.
struct RowSweep {
  std::int64_t first, count;
};

/// Computes a product of `rows` rows and `outputs` outputs in sweeps. Threads share both parts.
///   pack_grain                       parts of a sweep's rows that a thread packs at once
///   pack(sweep, begin, end)          packs rows [begin, end) of the sweep, as RowPacking asks for
///                                    parts of a block
///   multiply(sweep, column, columns)  outputs from `column`, a multiple of 16, for all rows of it
template <class Pack, class Multiply>
void sweep_rows(Context& ctx, std::int64_t rows, std::int64_t outputs, std::int64_t pack_grain,
                const Pack& pack, const Multiply& multiply) {
  const std::int64_t panels = panels_of(outputs);
  for (std::int64_t first = 0; first < rows; first += kRowsPerSweep) {
    const RowSweep sweep{first, std::min(kRowsPerSweep, rows - first)};
    const std::int64_t parts =
        std::max<std::int64_t>(1, (sweep.count - 1) / simd::kTileRowsMultiple);
    parallel_for(ctx, parts, pack_grain, [&](std::int64_t begin, std::int64_t end) {
      pack(sweep, begin * simd::kTileRowsMultiple,
           end == parts ? sweep.count : end * simd::kTileRowsMultiple);
    });
    const bool wide = (panels + kPanelGrain - 1) / kPanelGrain >= ctx.threads();
    const std::int64_t grain =
        wide ? kPanelGrain : std::max<std::int64_t>(1, panels / ctx.threads());
    parallel_for(ctx, (panels + grain - 1) / grain, 1, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t column = begin * grain * simd::kPanel;
      multiply(sweep, column, std::min(end * grain * simd::kPanel, outputs) - column);
    });
  }
}

}  // namespace retinue::ops::detail
