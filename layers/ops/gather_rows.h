#pragma once

#include "parallel/device/context.h"

namespace retinue::ops {

/// y[i, :] = x[rows[i], :]: the rows that get logits.
///   x     [tokens, hidden]  any dtype   rows may be strided
///   rows  [n]               i32
///   y     [n, hidden]       dtype of x
void gather_rows(Context& ctx, ConstTensorView x, ConstTensorView rows, TensorView y);

namespace detail {
void gather_rows(Cpu, Context& ctx, ConstTensorView x, ConstTensorView rows, TensorView y);
void gather_rows(Cuda, Context& ctx, ConstTensorView x, ConstTensorView rows, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
