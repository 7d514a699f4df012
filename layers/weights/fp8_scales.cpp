#include "layers/weights/fp8_scales.h"

#include "layers/spec/fp8_weights.h"
#include "layers/weights/weight_source.h"
#include "parallel/base/check.h"
#include "parallel/device/dtype.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace retinue::layers {
namespace {

/// Whether the block at this row and column of blocks has zeros alone.
bool is_zero_block(const Checkpoint& checkpoint, const std::string& weights, std::int64_t row,
                   std::int64_t column) {
  const Shape& shape = checkpoint.find(weights)->shape;
  const std::int64_t first = column * kFp8Block;
  const auto columns = static_cast<std::size_t>(std::min(kFp8Block, shape[1] - first));
  std::array<std::byte, kFp8Block> values{};
  for (std::int64_t r = row * kFp8Block; r < std::min((row + 1) * kFp8Block, shape[0]); ++r) {
    checkpoint.file_of(weights).read(weights, r * shape[1] + first,
                                     std::span(values).first(columns));
    if (std::ranges::any_of(values, [](std::byte value) {
          return (value & std::byte{0x7F}) != std::byte{0};  // either sign
        }))
      return false;
  }
  return true;
}

}  // namespace

void check_scales(const Checkpoint& checkpoint, const std::string& name) {
  const StoredTensor& tensor = *checkpoint.find(name);
  const std::string weights = name.substr(0, name.size() - kScaleSuffix.size()) + ".weight";
  std::vector<std::byte> stored(tensor.bytes.size());
  checkpoint.file_of(name).read(name, 0, stored);
  std::vector<float> scales(static_cast<std::size_t>(tensor.shape.numel()));
  convert_rows(tensor.type, stored.data(), 0,
               TensorView(reinterpret_cast<std::byte*>(scales.data()), DType::kF32,
                          Shape{1, tensor.shape.numel()}));
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const float scale = scales[i];
    const auto row = static_cast<std::int64_t>(i) / tensor.shape[1];
    const auto column = static_cast<std::int64_t>(i) % tensor.shape[1];
    std::string wanted;
    if (!(scale >= 0))
      wanted = "a positive number";
    else if (!std::isfinite(kMaxFloat8E4M3 * scale))
      wanted = "less, since 448 times it, the block's largest weight, is infinite";
    else if (scale == 0 && !is_zero_block(checkpoint, weights, row, column))
      wanted = "a positive number, since not all weights of the block are 0";
    if (!wanted.empty())
      throw UsageError(fmt::format(
          "[checkpoint] {}: the scale of block [{}, {}] in tensor {} is {}, wanted {}. The file is "
          "damaged, or was saved so: download it again, or make one from the bfloat16 checkpoint "
          "of the same size: retinue quantize",
          checkpoint.file_of(name).path(), row, column, name, scale, wanted));
  }
}

}  // namespace retinue::layers
