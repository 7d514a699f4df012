#pragma once

#include "layers/ops/matmul.h"
#include "parallel/device/context.h"

#include <cstdint>

namespace retinue::ops {

/// y[t, :] = table[ids[t] - first_id, :]; an id outside this rank's rows gives -0.0, the identity
/// of IEEE addition, so that summing over ranks is exact. The table is packed, so that a tied head
/// and the embedding are one copy.
///   ids    [tokens]                         i32
///   table  packed [vocab_per_rank, hidden]  f32 | bf16
///   y      [tokens, hidden]                 dtype of table, or f32
void embedding(Context& ctx, ConstTensorView ids, const PackedMatrix& table, std::int64_t first_id,
               TensorView y);

namespace detail {
void embedding(Cpu, Context& ctx, ConstTensorView ids, const PackedMatrix& table,
               std::int64_t first_id, TensorView y);
void embedding(Cuda, Context& ctx, ConstTensorView ids, const PackedMatrix& table,
               std::int64_t first_id, TensorView y);
}  // namespace detail
}  // namespace retinue::ops
