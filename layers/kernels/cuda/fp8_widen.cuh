#pragma once

// Tested through tests/layers/ops/fp8_matmul_test.cpp.

#include <cstdint>
#include <cstring>
#include <cuda_bf16.h>

/// e4m3 in bf16, which holds every value exactly. Needs nvcc.
namespace retinue::cuda {

/// Two e4m3, in the upper byte of each half, as bf16.
///
/// With its exponent and mantissa moved to where bf16 has them, e4m3 is 2⁻¹²⁰ of its value, because
/// the exponents' biases are 7 and 127; subnormal numbers, too, which stay subnormal. The product
/// with 2¹²⁰ is exact. A NaN becomes 480.
__device__ __forceinline__ std::uint32_t widen_e4m3_pair(std::uint32_t bytes) {
  const std::uint32_t bits = (bytes & 0x80008000U) | (bytes >> 4 & 0x07F007F0U);
  __nv_bfloat162 pair;
  std::memcpy(&pair, &bits, sizeof pair);
  pair = __hmul2(pair, __float2bfloat162_rn(0x1p120F));
  std::uint32_t wide = 0;
  std::memcpy(&wide, &pair, sizeof wide);
  return wide;
}

/// Four e4m3 as two pairs of bf16, in order.
__device__ __forceinline__ void widen_e4m3(std::uint32_t bytes, std::uint32_t (&pairs)[2]) {
  pairs[0] = widen_e4m3_pair(__byte_perm(bytes, 0, 0x1404));
  pairs[1] = widen_e4m3_pair(__byte_perm(bytes, 0, 0x3424));
}

}  // namespace retinue::cuda
