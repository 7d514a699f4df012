#pragma once

#include <array>
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

}  // namespace retinue::layers
