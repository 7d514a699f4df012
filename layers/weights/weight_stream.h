#pragma once

#include "layers/weights/weight_source.h"
#include "parallel/device/context.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace retinue::layers {

/// Some rows of a slice, read at once.
struct WeightPiece {
  const std::string* name = nullptr;
  Shape shape;  ///< of the whole tensor
  WeightSlice slice;
  DType dtype = DType::kBF16;
};

/// Bytes of a piece; a row that is longer is a piece of its own.
inline constexpr std::int64_t kPieceBytes = std::int64_t{4} << 20;

/// Reads `pieces`, each as its dtype, on `readers` threads into a ring of pinned host memory, ahead of
/// place(i, rows). The calling thread alone calls place, in order: a device's queue has one user. A
/// slot of the ring is written again once ctx.stream() has passed the work that place() enqueued.
/// Returns when the stream has passed all of it.
/// Throws: the error of `source` for the first piece, in order, that it cannot read; SystemError
///         when memory is short.
void stream_weights(Context& ctx, MemoryLedger& ledger, WeightSource& source, int readers,
                    std::span<const WeightPiece> pieces,
                    const std::function<void(std::size_t i, ConstTensorView rows)>& place);

}  // namespace retinue::layers
