#pragma once

#include "layers/spec/inputs.h"
#include "runtime/media/processor_spec.h"

#include <cstdint>
#include <string>

namespace retinue::runtime {

/// A small JPEG of what the vision tower sees: the image, or the first frame of a video, after
/// resizing, then shrunk until no side is longer than `max_side`; never enlarged. Each pixel is the
/// mean of at most 16 of the pixels that it covers, which is cheap and good enough to look at.
///   returns  empty where `patches` do not fit `spec`, or the encoder does not start
std::string thumbnail_jpeg(const layers::Patches& patches, const VisionProcessorSpec& spec,
                           std::int64_t max_side);

}  // namespace retinue::runtime
