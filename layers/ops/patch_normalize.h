#pragma once

#include "parallel/device/context.h"

#include <span>

namespace retinue::ops {

/// y = table of normalised values, one per channel and byte: (u8 / 255 - mean) / std, rounded once.
///   patches  [patches, channels · per_channel] u8   channel-major inside a row
///   values   [channels, 256]                        f32; host, constant of the processor
///   y        [patches, channels · per_channel]      f32 | bf16
/// Order:    enqueued on ctx.stream(); never blocks; may be captured.   Throws: BugError on shape
/// or dtype.
void patch_normalize(Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y);

namespace detail {
void patch_normalize(Cpu, Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y);
void patch_normalize(Cuda, Context& ctx, ConstTensorView patches, std::span<const float> values,
                     TensorView y);
}  // namespace detail
}  // namespace retinue::ops
