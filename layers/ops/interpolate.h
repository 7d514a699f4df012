#pragma once

#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// y += bilinear interpolation of a square table of positions onto a grid of patches, corners
/// aligned, rows in merge order, the same for every temporal slice.
/// HF Qwen3VLVisionModel.fast_pos_embed_interpolate.
///   table  [side², hidden]                    f32 | bf16       row = side · y + x
///   merge  spatial_merge_size                                  divides rows and columns
///   y      [frames · rows · columns, hidden]  dtype of table   in place
/// Numerics: as transformers 4.57: rounds the weights to the dtype, then each product, each of the
///           three sums, and the addition to y.
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
