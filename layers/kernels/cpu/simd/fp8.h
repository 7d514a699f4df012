#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include "layers/kernels/cpu/simd/kernels.h"

#include <cstdint>

namespace retinue::ops::simd {

/// Panels of e4m3 lie like panels of bf16, a byte for each element. The scales of a panel follow
/// each other by groups of 128 inputs: [panels][groups][16] f32.
struct Fp8Block {
  const BFloat16* x;      ///< e4m3 values of the rows, packed by quantize_rows, over all of K
  const float* x_scales;  ///< [rows, k / 128], as quantize_rows gives them
  const Float8E4M3* panels;
  const float* scales;
  std::int64_t k;       ///< a multiple of 128
  std::int64_t leaf_k;  ///< a multiple of 128
  std::int64_t rows;
  std::int64_t columns;
  BFloat16* widened;  ///< [kWidenedPanels · 16 · k], for the calling thread alone
  void* y;
  std::int64_t y_stride;
  bool y_is_f32;
};
/// Panels that are widened to bf16 at once, where several tiles of rows use them.
inline constexpr int kWidenedPanels = 3;

/// Quantises rows and packs them as RowPacking does; see there for parts of a block.
struct Fp8Packing {
  const BFloat16* x;
  std::int64_t x_stride;
  std::int64_t rows;
  std::int64_t all_rows;  ///< of the whole block
  std::int64_t k;         ///< a multiple of 128
  BFloat16* packed;       ///< [rows · k]
  float* scales;          ///< [rows, k / 128]
};

struct Fp8Kernels {
  void (*quantize_rows)(const Fp8Packing&);
  void (*matmul)(const Fp8Block&);
};

/// The table for an instruction set that this machine has.
const Fp8Kernels& fp8_kernels(CpuIsa isa);

/// One per instruction set; defined by compiling table.simd.cpp with RETINUE_ISA set.
template <CpuIsa isa>
Fp8Kernels make_fp8_kernels();

}  // namespace retinue::ops::simd
