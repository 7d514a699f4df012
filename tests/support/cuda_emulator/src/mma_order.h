#pragma once

#include "cuda_emulator/mma_order.h"

namespace cuda_emulator {

/// Eight sums side by side.
using EightFloats = float __attribute__((vector_size(32)));

/// An mma of operands of one type.
struct Mma {
  int products;   ///< that one instruction adds
  int kept_bits;  ///< below the leading one of the largest summand, in MmaOrder::kTruncated
};
inline constexpr Mma kMmaOfBf16{16, 25}, kMmaOfE4m3{32, 13};

/// sum += products[0] + … + products[count - 1], as one mma adds them.
void add_products(MmaOrder order, const Mma& mma, const EightFloats* products, int count,
                  EightFloats& sum);

/// d += a b, of 16 products each, as one mma of bf16 adds them.
void multiply_add(const float (&a)[16][16], const float (&b)[16][8], MmaOrder order,
                  float (&d)[16][8]);

}  // namespace cuda_emulator
