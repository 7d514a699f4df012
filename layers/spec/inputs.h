#pragma once

// Tested through tests/layers/model/golden_test.cpp.

#include "parallel/device/tensor.h"

#include <cstdint>
#include <vector>

namespace retinue::layers {

/// Rows and columns are in patches; `frames` in pairs of frames (temporal_patch_size).
struct GridThw {
  std::int64_t frames = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;

  [[nodiscard]] std::int64_t patches() const { return frames * rows * columns; }
  friend bool operator==(const GridThw&, const GridThw&) = default;
};

/// Pixels of one image or video cut into patches. They stay u8: normalising maps each of 256 values
/// to one value, so a table on the device gives the reference's numbers and fewer bytes travel.
struct Patches {
  std::vector<std::uint8_t> pixels;  ///< [patches, 3 · temporal_patch · patch²], merge order
  GridThw grid_thw;
};

/// One packed forward of a replica. Views of device memory, i32; every rank holds the same.
struct StepInputs {
  ConstTensorView ids;             ///< [tokens]
  ConstTensorView positions;       ///< [3, tokens]: time, height, width
  ConstTensorView slot_mapping;    ///< [tokens] slot of each token's key and value
  ConstTensorView block_table;     ///< [seqs, max_blocks]
  ConstTensorView cu_seqlens;      ///< [seqs + 1] prefix sums of the sequences' tokens in this step
  ConstTensorView seq_lens;        ///< [seqs] tokens in the cache, this step's included
  ConstTensorView visual_sources;  ///< [n] rows of the features …
  ConstTensorView visual_rows;     ///< [n] … and the tokens that they belong to
  ConstTensorView logit_rows;      ///< [rows] tokens that get logits
};

}  // namespace retinue::layers
