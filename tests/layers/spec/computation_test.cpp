#include "layers/spec/computation.h"

#include <gtest/gtest.h>

namespace retinue::layers {
namespace {

/// The text part of the 32B, as far as it decides bits.
ModelConfig config_32b() {
  ModelConfig config;
  config.text.hidden_size = 5120, config.text.intermediate_size = 25600;
  config.text.num_attention_heads = 64, config.text.num_key_value_heads = 8;
  config.text.head_dim = 128, config.text.num_hidden_layers = 64;
  return config;
}

TEST(ReductionLeaves, DivideHeadsAndTheIntermediateSize) {
  ModelConfig config = config_32b();
  EXPECT_EQ(reduction_leaves(config), 8);
  config.text.num_attention_heads = 12;
  EXPECT_EQ(reduction_leaves(config), 4);
  EXPECT_EQ(reduction_leaves(config, 2), 2);
  config.text.intermediate_size = 32 * 3;
  EXPECT_EQ(reduction_leaves(config), 1);
}

TEST(LeafInputs, AreThoseOfBothRowParallelProducts) {
  EXPECT_EQ(leaf_inputs(config_32b(), 8), (std::array<std::int64_t, 2>{1024, 3200}));
  EXPECT_EQ(leaf_inputs(config_32b(), 1), (std::array<std::int64_t, 2>{8192, 25600}));
}

TEST(ReductionLeaves, AreWholeGroupsOfFp8) {
  ModelConfig config = config_32b();
  config.fp8.emplace();
  EXPECT_EQ(reduction_leaves(config), 8) << "25600 = 8 x 25 groups";
  config.text.intermediate_size = 9728;  // the 4B: 76 groups
  EXPECT_EQ(reduction_leaves(config), 4);
  config.text.intermediate_size = 25600, config.text.head_dim = 64;
  config.text.num_attention_heads = 8;
  EXPECT_EQ(reduction_leaves(config), 4) << "512 = 4 x 1 group";
  config.fp8->not_converted = {"o_proj"};
  EXPECT_EQ(reduction_leaves(config), 8) << "o_proj is bf16";
}

}  // namespace
}  // namespace retinue::layers
