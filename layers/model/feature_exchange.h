#pragma once

// Tested through tests/layers/model/invariance_test.cpp.

#include "layers/modules/tensor_axis.h"
#include "parallel/device/context.h"

#include <cstdint>
#include <span>

namespace retinue::layers {

/// One image of an exchange, in image order; every rank of the replica holds the same list.
struct ExchangedImage {
  int owner = 0;  ///< rank of the tensor axis that encoded it
  std::int64_t visual_tokens = 0;
  std::int64_t first_row = 0;  ///< where its rows go in `features`
};

/// Brings every image's embeddings and DeepStack features to every rank of the replica. Every rank
/// of the axis enters, also one that encoded nothing.
///   mine      [Σ visual_tokens of this rank's images, width]   in image order
///   features  [capacity, width]                                gets each image at its first_row
/// Order:    enqueued on ctx.stream().
/// Throws:   BugError when the rows do not fit.
void exchange_features(Context& ctx, const TensorAxis& axis, std::span<const ExchangedImage> images,
                       ConstTensorView mine, TensorView features);

}  // namespace retinue::layers
