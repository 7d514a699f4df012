#pragma once

#include "layers/spec/inputs.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <string>

namespace retinue::runtime {

/// A small JPEG of what the vision tower sees: the picture, or the first frame of a clip, in the
/// size to which it was cut, then shrunk until no side is longer than `max_side`. Never enlarged.
/// Every pixel is the mean of at most 16 of those it stands for: to look at, not to compute with.
/// Empty where the patches are not those of `spec`, or the encoder does not start.
std::string thumbnail_jpeg(const layers::Patches& patches, const VisionProcessorSpec& spec,
                           std::int64_t max_side);

}  // namespace retinue::runtime
