#pragma once

#include "layers/spec/config.h"
#include "runtime/study/model/metrics.h"

#include <optional>
#include <string_view>

namespace retinue::study {

/// A multiply-add counts as two operations; norms, activations and rotations are left out.
///   dtype_bytes  size of a weight and of a cached value
ModelWork work_of(const layers::ModelConfig& config, double dtype_bytes);

/// A device's peak rates from its data sheet: dense bf16 and memory.
struct Peaks {
  double flops_per_s = 0, bytes_per_s = 0;
};
/// By the driver's name of the device; none when the table lacks it.
std::optional<Peaks> peaks_of(std::string_view device_name);

}  // namespace retinue::study
