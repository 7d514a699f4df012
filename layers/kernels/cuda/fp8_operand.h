#pragma once

// Tested through tests/layers/ops/matmul_input_test.cpp.

#include "layers/kernels/cuda/fp8_scratch.h"
#include "layers/ops/matmul_input.h"

#include <cstddef>
#include <cstdint>

/// x of a product of e4m3, quantised, for code with and without CUDA's headers.
namespace retinue::cuda {

/// Where values and scales lie. Rows are divided in chunks of the product, since cuBLASLt wants the
/// scales of a call to be [groups, rows of the call] (VEC128_32F). Kernels take it by value.
struct Fp8Operand {
  std::byte* q = nullptr;   ///< [padded, inputs] e4m3, 16-byte aligned; bf16 where `widened`
  float* scales = nullptr;  ///< for each chunk [inputs / 128, its rows], chunk behind chunk
  int rows = 0;
  int padded = 0;  ///< fp8_rows(rows). Rows past `rows` are zeros, their scales too
  int inputs = 0;
  int chunk = 0;         ///< rows of each chunk but the last; a multiple of four
  bool widened = false;  ///< whether q is bf16, which holds the values of e4m3
};

/// Where `x` has its rows on the context's GPU.
Fp8Operand fp8_operand(const Context& ctx, const ops::MatmulInput& x);

/// The rows of a product from `first` on, scratch.chunk of them or those that are left, as one
/// chunk: quantised into scratch now, where x comes as a tensor.
Fp8Operand fp8_chunk(Context& ctx, const ops::detail::MatmulArgs& a, const Fp8Scratch& scratch,
                     std::int64_t first, bool widened);

/// Whether ops::fp8_kernel() of the device's capability is cuBLASLt.
bool uses_cublaslt(Device device);

}  // namespace retinue::cuda
