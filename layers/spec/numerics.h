#pragma once

#include "layers/spec/config.h"
#include "parallel/device/context.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace retinue::layers {

/// Parts that every row-parallel sum is cut into: 8, or the largest power of two below that divides
/// the heads and the intermediate size in blocks of 32 columns. The tensor axis divides it.
int reduction_leaves(const TextConfig& text);

/// What decides bits on a device whatever the model: "kernels" → "cpu avx512-bf16", "leaves" → …
std::vector<std::pair<std::string, std::string>> numerics_constants(const Context& ctx);

/// Everything that decides bits, as text, and its SHA-256: leaves, tiles, splits, dtype, kernel
/// path, device type, revision of the contract. Tensor size, batch and replica count are not in it:
/// equal fingerprints promise equal bits; but for sums that are not `ordered`, which promise none.
struct Numerics {
  std::string description;
  std::string fingerprint;
};
Numerics numerics(const ModelConfig& config, DType dtype, const Context& ctx, bool ordered = true);

}  // namespace retinue::layers
