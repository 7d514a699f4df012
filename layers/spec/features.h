#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "parallel/device/tensor.h"

#include <cstdint>

namespace retinue::layers {

/// The vision tower's output for the decoder: [visual_tokens, (1 + taps) · hidden], the embeddings,
/// then one block of columns per DeepStack tap.
struct VisualFeatures {
  ConstTensorView values;
  std::int64_t hidden = 0;

  [[nodiscard]] ConstTensorView embeddings() const { return values.columns(0, hidden); }
  /// The rows that decoder layer `tap` adds to its visual tokens.
  [[nodiscard]] ConstTensorView deepstack(std::int64_t tap) const {
    return values.columns((1 + tap) * hidden, hidden);
  }
};

}  // namespace retinue::layers
