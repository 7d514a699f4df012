#pragma once

#include "layers/spec/computation.h"
#include "layers/spec/config.h"
#include "parallel/device/context.h"

#include <string>
#include <utility>
#include <vector>

namespace retinue::layers {

/// The facts that decide bits on a device, whatever the model: "kernels" → "cpu avx512-bf16", …
std::vector<std::pair<std::string, std::string>> numerics_constants(const Context& ctx);

/// Everything that decides bits, as text, and its SHA-256: leaves, tiles, splits, dtype, FP8 weights
/// and the groups of their activations (ops/fp8_matmul.h), dtype of the KV cache, kernels, GPU and
/// library, revision of the contract. Equal fingerprints promise equal bits, whatever the size of
/// the tensor axis, the batch and the number of replicas; sums that are not `ordered` promise
/// nothing.
struct Numerics {
  std::string description;
  std::string fingerprint;
};
Numerics numerics(const ModelConfig& config, const Computation& computation, const Context& ctx);

}  // namespace retinue::layers
