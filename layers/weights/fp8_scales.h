#pragma once

// Tested through tests/layers/weights/fp8_checkpoint_test.cpp.

#include "layers/weights/checkpoint.h"

#include <string>

namespace retinue::layers {

/// Reads the scales of a matrix of e4m3 weights, and the weights of blocks whose scale is zero.
///   name  of the scales; their shape fits that of the weights, which are there
/// Throws: UsageError naming tensor and block for a scale that is NaN, negative or so large that the
///         block's largest weight is infinite, and for zero where weights of the block are not;
///         SystemError when the file cannot be read.
void check_scales(const Checkpoint& checkpoint, const std::string& name);

}  // namespace retinue::layers
