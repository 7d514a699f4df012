#pragma once

#include "layers/spec/config.h"
#include "parallel/device/context.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace retinue::layers {

/// Parts of every row-parallel sum: 8, or the largest power of two below 8 that divides the heads
/// and the intermediate size in blocks of 32 columns; with FP8 weights, both in groups of 128. The
/// size of the tensor axis divides it.
int reduction_leaves(const ModelConfig& config);

/// The facts that decide bits on a device, whatever the model: "kernels" → "cpu avx512-bf16", …
std::vector<std::pair<std::string, std::string>> numerics_constants(const Context& ctx);

/// Everything that decides bits, as text, and its SHA-256: leaves, tiles, splits, dtype, FP8 weights
/// and the groups of their activations (ops/fp8_matmul.h), dtype of the KV cache, kernel path, device type, revision of the
/// contract. Equal fingerprints promise equal bits, whatever the size of the tensor axis, the batch
/// and the number of replicas; sums that are not `ordered` promise nothing.
struct Numerics {
  std::string description;
  std::string fingerprint;
};
///   kv_dtype  as in ModelOptions
Numerics numerics(const ModelConfig& config, DType dtype, const Context& ctx, bool ordered = true,
                  std::optional<DType> kv_dtype = {});

}  // namespace retinue::layers
