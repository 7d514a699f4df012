#include "layers/spec/rotary.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <bit>
#include <fstream>
#include <string>

namespace retinue::layers {
namespace {

using nlohmann::json;

TEST(Rotary, InterleavesTimeHeightAndWidthThenTime) {
  TextConfig config;  // as in the 32B
  config.head_dim = 128, config.rope_theta = 5000000;
  config.mrope_section = {24, 20, 20};
  const TextRotary rotary = text_rotary(config);
  std::string axes;
  for (const std::int32_t axis : rotary.axis_of_slot) axes += "THW"[axis];
  std::string wanted;
  for (int i = 0; i < 20; ++i) wanted += "THW";
  EXPECT_EQ(axes, wanted + "TTTT");
}

// Slot 19 of head_dim 128 is a near tie that torch's vectorised power rounds the other way: one ulp
// of f32.
TEST(Rotary, FrequenciesHaveTheReferencesBits) {
  std::ifstream file(std::string(RETINUE_SOURCE_DIR) + "/tests/golden/model/tables.json");
  const json table = json::parse(file)["inverse_frequencies"];
  int differing = 0;
  const auto compare = [&](double base, const json& by_dim) {
    for (const auto& [dim, values] : by_dim.items()) {
      const std::vector<float> ours = inverse_frequencies(base, std::stoll(dim));
      ASSERT_EQ(ours.size(), values.size()) << dim;
      for (std::size_t i = 0; i < ours.size(); ++i) {
        const auto reference =
            static_cast<std::uint32_t>(std::stoul(values[i].get<std::string>(), nullptr, 16));
        if (std::bit_cast<std::uint32_t>(ours[i]) == reference) continue;
        ++differing;
        EXPECT_EQ(dim + "/" + std::to_string(i), "128/19");
        EXPECT_EQ(std::bit_cast<std::uint32_t>(ours[i]) + 1, reference);
      }
    }
  };
  compare(table["text_theta"].get<double>(), table["text_f32_by_head_dim"]);
  EXPECT_EQ(differing, 1);
  for (const auto& [head_dim, values] : table["vision_f32_by_head_dim"].items())
    compare(table["vision_theta"].get<double>(),
            json{{std::to_string(std::stoll(head_dim) / 2), values}});
  EXPECT_EQ(differing, 1);
}

}  // namespace
}  // namespace retinue::layers
