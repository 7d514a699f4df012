#pragma once

#include "layers/spec/config.h"
#include "runtime/study/model/metrics.h"

#include <optional>
#include <string_view>

namespace retinue::study {

/// A multiply-add counts as two operations; norms, activations and rotations are left out.
///   dtype     of weights that are not FP8
///   kv_dtype  of cached keys and values; none: dtype
ModelWork work_of(const layers::ModelConfig& config, DType dtype,
                  std::optional<DType> kv_dtype = {});

/// A device's peak rates from its data sheet: dense bf16 and memory.
struct Peaks {
  double flops_per_s = 0, bytes_per_s = 0;
};
/// By the driver's name of the device; none when the table lacks it.
std::optional<Peaks> peaks_of(std::string_view device_name);

}  // namespace retinue::study
