#pragma once

#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// y += bilinear interpolation of a square table of positions onto a grid of patches, corners
/// aligned, rows in merge order, the same for every temporal slice.  HF
/// Qwen3VLVisionModel.fast_pos_embed_interpolate.
///   table  [side², hidden]                       f32 | bf16   row = side · y + x
///   y      [frames · rows · columns, hidden]     dtype of table; added in place
///   merge  spatial_merge_size: rows and columns are multiples of it
/// Numerics: as transformers 4.57: weights rounded to the dtype, each product and each of the three
/// sums
///           rounded, then one more rounding for the addition to y.
/// Order:    enqueued on ctx.stream(); never blocks; may be captured.   Throws: BugError on shape
/// or dtype.
void add_interpolated(Context& ctx, ConstTensorView table, std::int64_t frames, std::int64_t rows,
                      std::int64_t columns, std::int64_t merge, TensorView y);

namespace detail {
void add_interpolated(Cpu, Context& ctx, ConstTensorView table, std::int64_t side,
                      std::int64_t frames, std::int64_t rows, std::int64_t columns,
                      std::int64_t merge, TensorView y);
void add_interpolated(Cuda, Context& ctx, ConstTensorView table, std::int64_t side,
                      std::int64_t frames, std::int64_t rows, std::int64_t columns,
                      std::int64_t merge, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
