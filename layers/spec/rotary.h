#pragma once

#include "layers/spec/config.h"

#include <cstdint>
#include <vector>

namespace retinue::layers {

/// 1 / base^(2i / dim) for i < dim / 2, each step rounded to f32 as torch computes it.
std::vector<float> inverse_frequencies(double base, std::int64_t dim);

/// The text rotary embedding: a frequency and an axis (0 time, 1 height, 2 width) per slot, and a
/// factor on cos and sin.
/// HF Qwen3VLTextRotaryEmbedding; YaRN: Peng et al. 2023, arXiv:2309.00071.
struct TextRotary {
  std::vector<float> inv_freq;
  std::vector<std::int32_t> axis_of_slot;
  float scale = 1;
};
TextRotary text_rotary(const TextConfig& config);

}  // namespace retinue::layers
