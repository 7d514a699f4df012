#pragma once

#include "parallel/device/tensor.h"

#include <cstdint>

namespace retinue::layers {

/// What the vision tower hands to the decoder: [visual_tokens, (1 + taps) · hidden], the
/// embeddings, then one block of columns per DeepStack tap.
struct VisualFeatures {
  ConstTensorView values;
  std::int64_t hidden = 0;

  [[nodiscard]] ConstTensorView embeddings() const { return values.columns(0, hidden); }
  /// What decoder layer `tap` adds to its visual rows.
  [[nodiscard]] ConstTensorView deepstack(std::int64_t tap) const {
    return values.columns((1 + tap) * hidden, hidden);
  }
};

}  // namespace retinue::layers
