#pragma once

#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// The k largest of each row, largest first; equal values in the order of their ids. k = 1 is
/// arg-max. NaN ranks with infinity, so that a row that holds either shows it.
///   logits  [rows, n]  f32 | bf16
///   values  [rows, k]  f32
///   ids     [rows, k]  i32   first_id + column
void top_k(Context& ctx, ConstTensorView logits, std::int64_t first_id, TensorView values,
           TensorView ids);

namespace detail {
void top_k(Cpu, Context& ctx, ConstTensorView logits, std::int64_t first_id, TensorView values,
           TensorView ids);
void top_k(Cuda, Context& ctx, ConstTensorView logits, std::int64_t first_id, TensorView values,
           TensorView ids);
}  // namespace detail
}  // namespace retinue::ops
