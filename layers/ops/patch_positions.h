#pragma once

#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// Row and column of each patch of one image or video in merge order, the same for every temporal
/// slice.  HF Qwen3VLVisionModel.rot_pos_emb.
///   merge      spatial_merge_size                 divides rows and columns
///   positions  [2, frames · rows · columns]  i32  rows, then columns; may be part of a wider table
void patch_positions(Context& ctx, std::int64_t frames, std::int64_t rows, std::int64_t columns,
                     std::int64_t merge, TensorView positions);

namespace detail {
void patch_positions(Cpu, Context& ctx, std::int64_t frames, std::int64_t rows,
                     std::int64_t columns, std::int64_t merge, TensorView positions);
void patch_positions(Cuda, Context& ctx, std::int64_t frames, std::int64_t rows,
                     std::int64_t columns, std::int64_t merge, TensorView positions);
}  // namespace detail
}  // namespace retinue::ops
