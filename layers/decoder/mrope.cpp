#include "layers/decoder/mrope.h"

#include "parallel/base/check.h"

#include <algorithm>

namespace retinue::layers {

PromptPositions prompt_positions(const ModelConfig& config, std::span<const std::int32_t> ids,
                                 std::span<const GridThw> grids) {
  // Each temporal slice of a video is a block of its own.
  std::vector<GridThw> blocks;
  for (const GridThw& grid : grids)
    for (std::int64_t t = 0; t < grid.frames; ++t) blocks.push_back({1, grid.rows, grid.columns});

  const std::size_t tokens = ids.size();
  PromptPositions positions;
  positions.values.resize(3 * tokens);
  const auto set = [&](std::size_t at, std::int64_t t, std::int64_t h, std::int64_t w) {
    positions.values[at] = static_cast<std::int32_t>(t);
    positions.values[tokens + at] = static_cast<std::int32_t>(h);
    positions.values[2 * tokens + at] = static_cast<std::int32_t>(w);
  };
  std::int64_t cursor = 0;
  std::size_t block = 0;
  for (std::size_t at = 0; at < tokens;) {
    if (ids[at] != config.image_token_id && ids[at] != config.video_token_id) {
      set(at++, cursor, cursor, cursor);
      ++cursor;
      continue;
    }
    check(block < blocks.size(), "a prompt has more visual placeholders than visual items");
    const std::int64_t rows = blocks[block].rows / config.vision.spatial_merge_size;
    const std::int64_t columns = blocks[block].columns / config.vision.spatial_merge_size;
    ++block;
    const std::int32_t pad = ids[at];
    check(at + static_cast<std::size_t>(rows * columns) <= tokens,
          "a prompt ends inside a visual block");
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t column = 0; column < columns; ++column, ++at) {
        check(ids[at] == pad, "a visual block is shorter than its grid");
        set(at, cursor, cursor + row, cursor + column);
      }
    cursor += std::max(rows, columns);
  }
  check(block == blocks.size(), "a prompt has fewer visual placeholders than visual items");
  const auto largest = std::max_element(positions.values.begin(), positions.values.end());
  positions.next = largest == positions.values.end() ? 0 : *largest + 1;
  return positions;
}

}  // namespace retinue::layers
