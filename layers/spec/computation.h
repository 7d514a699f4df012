#pragma once

#include "layers/spec/config.h"
#include "parallel/base/reduce_tree.h"
#include "parallel/device/dtype.h"

#include <array>
#include <cstdint>
#include <optional>

namespace retinue::layers {

/// What a job chooses that decides bits.
struct Computation {
  DType dtype = DType::kBF16;
  std::optional<DType> kv_dtype = {};  ///< of keys and values: f8_e4m3, or none for `dtype`
  bool ordered = true;  ///< row-parallel sums in the fixed tree; else one partial per rank, for a
                        ///< communicator that adds in an order of its own
  int most_leaves = kMaxLeaves;  ///< of the fixed tree: 1, 2, 4 or 8
  bool wgmma = false;  ///< whether ops::PackedMatrix::own_kernel multiplies row-parallel weights

  [[nodiscard]] DType kept_dtype() const { return kv_dtype.value_or(dtype); }
};

/// Parts of every row-parallel sum: `most`, or the largest power of two below it that divides the
/// heads and the intermediate size in blocks of 32 columns; with FP8 weights, both in groups of 128.
/// The size of the tensor axis divides it.
int reduction_leaves(const ModelConfig& config, int most = kMaxLeaves);

/// The inputs of one leaf of every row-parallel product: of o_proj and of down_proj.
std::array<std::int64_t, 2> leaf_inputs(const ModelConfig& config, int leaves);

}  // namespace retinue::layers
