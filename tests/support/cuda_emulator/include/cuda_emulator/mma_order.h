#pragma once

namespace cuda_emulator {

/// The order in which one mma adds its products and the accumulator, which NVIDIA does not document.
/// Bits that must be the same for every batch, chunk, layout and split are so in each order; only
/// their values differ.
enum class MmaOrder {
  kAscending,  ///< one by one, k ascending, starting at the accumulator
  kPairs,      ///< neighbours along k are added, then their sum to the accumulator
  kTree4,      ///< the same with trees of four
  kTree8,      ///< the same with trees of eight
  /// Products and accumulator are aligned to the largest, cut to some bits, added exactly and rounded
  /// toward zero: a model of Hopper after published measurements (Fasi et al. 2021,
  /// doi:10.7717/peerj-cs.330; Khattak & Mikaitis 2025, arXiv:2512.07004), not held against a GPU.
  kTruncated,
};

/// The current order. RETINUE_EMULATOR_MMA_ORDER sets the first: ascending (default), pairs, tree4,
/// tree8 or truncated.
MmaOrder mma_order();

/// Applies to all products that start from now on, those of the emulated cuBLASLt included.
void set_mma_order(MmaOrder order);

}  // namespace cuda_emulator
