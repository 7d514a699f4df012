#pragma once

// Tested through tests/layers/weights/checkpoint_test.cpp.

#include "layers/weights/checkpoint.h"

#include <string>

namespace retinue::layers {

/// Name, type, shape and a hash of 256 bytes from the middle of a tensor, as one line. The header
/// alone does not distinguish fine-tuned weights from their base model. Costs about one read.
/// Throws: SystemError naming the file and the tensor that cannot be read.
std::string describe_tensor(const Checkpoint& checkpoint, const std::string& name);

/// SHA-256 of the lines of all tensors, in the order of their names: the same for any sharding.
/// Throws: as describe_tensor().
std::string content_sample(const Checkpoint& checkpoint);

}  // namespace retinue::layers
