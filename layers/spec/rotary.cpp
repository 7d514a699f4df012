#include "layers/spec/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace retinue::layers {

std::vector<float> inverse_frequencies(double base, std::int64_t dim) {
  std::vector<float> result;
  for (std::int64_t i = 0; i < dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(dim);
    // The power rounded to f32, then its inverse rounded to f32: two roundings, as torch does.
    const auto power = static_cast<float>(
        std::pow(static_cast<double>(static_cast<float>(base)), static_cast<double>(exponent)));
    result.push_back(1.0F / power);
  }
  return result;
}

TextRotary text_rotary(const TextConfig& config) {
  TextRotary rotary;
  rotary.inv_freq = inverse_frequencies(config.rope_theta, config.head_dim);
  const std::int64_t slots = config.head_dim / 2;
  for (std::int64_t i = 0; i < slots; ++i) {
    // T H W T H W … as far as the sections of H and W reach, then T.
    const std::int64_t axis = i % 3;
    const bool own = axis > 0 && i < 3 * config.mrope_section[static_cast<std::size_t>(axis)];
    rotary.axis_of_slot.push_back(own ? static_cast<std::int32_t>(axis) : 0);
  }
  if (config.yarn_factor > 0) {
    const auto dim = static_cast<double>(config.head_dim);
    const auto original = static_cast<double>(config.yarn_original_max_position_embeddings);
    const auto correction = [&](double rotations) {
      return dim * std::log(original / (2 * std::numbers::pi * rotations)) /
             (2 * std::log(config.rope_theta));
    };
    const double low = std::max(std::floor(correction(32)), 0.0);
    const double high = std::min(std::ceil(correction(1)), dim - 1);
    for (std::size_t i = 0; i < rotary.inv_freq.size(); ++i) {
      const double ramp =
          std::clamp((static_cast<double>(i) - low) / std::max(high - low, 0.001), 0.0, 1.0);
      const double f = rotary.inv_freq[i];
      rotary.inv_freq[i] = static_cast<float>(f / config.yarn_factor * ramp + f * (1 - ramp));
    }
    rotary.scale = static_cast<float>(0.1 * std::log(config.yarn_factor) + 1);
  }
  return rotary;
}

}  // namespace retinue::layers
