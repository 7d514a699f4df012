#pragma once

#include "layers/weights/weight_source.h"
#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace retinue::layers {

/// Some rows of a slice: what is read at once.
struct WeightPiece {
  const std::string* name = nullptr;
  Shape shape;  ///< of the whole tensor
  WeightSlice slice;
};

/// Bytes of a piece, but for rows that are longer.
inline constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;

/// Reads `pieces` as `dtype` on `readers` threads into a ring of pinned host memory, ahead of
/// place(i, rows), which is called in order, by the calling thread alone: a device's queue has one
/// user. A place in the ring is written again when what place() enqueued on ctx.stream() has
/// passed. Ends when all of it has.
/// Throws: what `source` throws, for the first piece in order that it cannot read; SystemError when
/// memory is short.
void stream_weights(Context& ctx, MemoryLedger& ledger, WeightSource& source, DType dtype,
                    int readers, std::span<const WeightPiece> pieces,
                    const std::function<void(std::size_t i, ConstTensorView rows)>& place);

}  // namespace retinue::layers
