#pragma once

#include "layers/spec/config.h"
#include "runtime/study/model/metrics.h"

#include <optional>
#include <string_view>

namespace retinue::study {

/// Multiply-adds counted as two; norms, activations and rotations are left out.
///   dtype_bytes   of a weight and of a cached value
ModelWork work_of(const layers::ModelConfig& config, double dtype_bytes);

/// What a device can do at most, from its maker's sheet: dense bf16 and memory.
struct Peaks {
  double flops_per_s = 0, bytes_per_s = 0;
};
/// By the name that the driver gives; none for what is not in the table.
std::optional<Peaks> peaks_of(std::string_view device_name);

}  // namespace retinue::study
