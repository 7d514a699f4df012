#pragma once

#include "parallel/device/context.h"

#include <span>

namespace retinue::ops {

/// y = values[channel][byte]: each byte becomes (byte / 255 - mean) / std by a table.
///   patches  [patches, channels · per_channel]  u8           channel-major inside a row
///   values   [channels, 256]                    f32          host; constant of the processor
///   y        [patches, channels · per_channel]  f32 | bf16
/// Numerics: one rounding, of the table's value to the dtype of y.
void patch_normalize(Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y);

namespace detail {
void patch_normalize(Cpu, Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y);
void patch_normalize(Cuda, Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y);
}  // namespace detail
}  // namespace retinue::ops
