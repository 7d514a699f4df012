#include "layers/spec/config.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <string>
#include <utility>

namespace retinue::layers {
namespace {

using nlohmann::json;
using testing::HasSubstr;

/// Fields of the 32B-Instruct file, in the spelling of transformers 4.57.
json config_32b() {
  return json::parse(
      R"({"architectures":["Qwen3VLForConditionalGeneration"],"model_type":"qwen3_vl",
    "image_token_id":151655,"video_token_id":151656,"vision_start_token_id":151652,"vision_end_token_id":151653,
    "tie_word_embeddings":false,
    "text_config":{"vocab_size":151936,"hidden_size":5120,"intermediate_size":25600,"num_hidden_layers":64,"num_attention_heads":64,
      "num_key_value_heads":8,"head_dim":128,"rms_norm_eps":1e-06,"rope_theta":5000000,"max_position_embeddings":262144,
      "rope_scaling":{"mrope_interleaved":true,"mrope_section":[24,20,20],"rope_type":"default"},"dtype":"bfloat16","hidden_act":"silu","attention_bias":false},
    "vision_config":{"depth":27,"hidden_size":1152,"intermediate_size":4304,"num_heads":16,"patch_size":16,"temporal_patch_size":2,
      "spatial_merge_size":2,"in_channels":3,"out_hidden_size":5120,"num_position_embeddings":2304,"deepstack_visual_indexes":[8,16,24],
      "hidden_act":"gelu_pytorch_tanh"}})");
}

std::string refusal(const json& config) {
  try {
    (void)parse_model_config(config.dump(), "config.json");
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

TEST(ModelConfig, ReadsThe32B) {
  const ModelConfig c = parse_model_config(config_32b().dump(), "config.json");
  EXPECT_EQ(c.text.num_hidden_layers, 64);
  EXPECT_EQ(c.vision.head_dim(), 72);
  EXPECT_EQ(c.vision.feature_width(), 4 * 5120);
  EXPECT_FALSE(c.text.tie_word_embeddings);
}

TEST(ModelConfig, BothSpellingsOfTheRotaryEmbeddingGiveTheSame) {
  json later = config_32b();
  json& text = later["text_config"];
  text["rope_parameters"] = text["rope_scaling"];
  text["rope_parameters"]["rope_theta"] = text["rope_theta"];
  text.erase("rope_scaling"), text.erase("rope_theta");
  const TextConfig a = parse_model_config(config_32b().dump(), "a").text,
                   b = parse_model_config(later.dump(), "b").text;
  EXPECT_EQ(a.rope_theta, b.rope_theta);
  EXPECT_EQ(a.mrope_section, b.mrope_section);
}

TEST(ModelConfig, ATiedHeadIsReadFromEitherPlace) {
  json config = config_32b();
  config.erase("tie_word_embeddings");
  EXPECT_FALSE(parse_model_config(config.dump(), "").text.tie_word_embeddings);
  config["text_config"]["tie_word_embeddings"] = true;
  EXPECT_TRUE(parse_model_config(config.dump(), "").text.tie_word_embeddings);
  config["tie_word_embeddings"] = false;
  EXPECT_TRUE(parse_model_config(config.dump(), "").text.tie_word_embeddings)
      << "text_config wins, as in transformers 4.57";
}

TEST(ModelConfig, TheDtypeIsThatOfTheTopLevel) {
  json config = config_32b();
  const auto dtype = [&] { return parse_model_config(config.dump(), "").dtype; };
  EXPECT_EQ(dtype(), DType::kBF16) << "text_config has it alone";
  config["torch_dtype"] = "float32";
  EXPECT_EQ(dtype(), DType::kF32);
  config["torch_dtype"] = "float16";
  EXPECT_EQ(dtype(), DType::kF32) << "holds float16 exactly";
  config["dtype"] = "bfloat16";
  EXPECT_EQ(dtype(), DType::kBF16) << "dtype is the newer spelling";
  config["dtype"] = "float8_e4m3fn";
  EXPECT_THAT(refusal(config), HasSubstr("float8_e4m3fn"));
}

TEST(ModelConfig, KeysOfYarnThatAreNotComputedAreRefusedByName) {
  json config = config_32b();
  json& rope = config["text_config"]["rope_scaling"];
  rope["rope_type"] = "yarn", rope["factor"] = 4.0;
  EXPECT_EQ(refusal(config), "");
  const json plain = rope;
  for (const auto& [key, value] : {std::pair<const char*, json>{"beta_fast", 16.0},
                                   {"beta_slow", 2.0},
                                   {"attention_factor", 1.0},
                                   {"truncate", false}}) {
    rope = plain;
    rope[key] = value;
    EXPECT_THAT(refusal(config), HasSubstr(key));
  }
  rope = plain, rope["mscale"] = 1.0;
  EXPECT_EQ(refusal(config), "") << "one alone is not used";
  rope["mscale_all_dim"] = 1.0;
  EXPECT_THAT(refusal(config), HasSubstr("mscale"));
  rope = plain;
  rope["beta_fast"] = 32, rope["beta_slow"] = 1, rope["truncate"] = true;
  rope["attention_factor"] = 0.1 * std::log(4.0) + 1;
  EXPECT_EQ(refusal(config), "") << "these are what is computed";
  config["text_config"]["partial_rotary_factor"] = 0.5;
  EXPECT_THAT(refusal(config), HasSubstr("partial_rotary_factor"));
}

TEST(ModelConfig, RefusalsNameTheKey) {
  const auto with = [](const std::string& pointer, const json& value) {
    json config = config_32b();
    config[json::json_pointer(pointer)] = value;
    return refusal(config);
  };
  EXPECT_THAT(with("/model_type", "llama"), HasSubstr("\"llama\""));
  EXPECT_THAT(with("/text_config/hidden_size", "big"),
              HasSubstr("text_config.hidden_size is no integer"));
  EXPECT_THAT(with("/text_config/num_key_value_heads", 7), HasSubstr("num_key_value_heads is 7"));
  EXPECT_THAT(with("/text_config/rope_scaling/mrope_section", {24, 20}),
              HasSubstr("mrope_section"));
  EXPECT_THAT(with("/text_config/rope_scaling/rope_type", "linear"), HasSubstr("\"linear\""));
  EXPECT_THAT(with("/vision_config/out_hidden_size", 4096), HasSubstr("they must be equal"));
  EXPECT_THAT(with("/vision_config/deepstack_visual_indexes", {8, 27}), HasSubstr("below depth"));
  EXPECT_THAT(with("/vision_config/num_position_embeddings", 2305), HasSubstr("square"));
  EXPECT_THAT(with("/text_config/num_experts", 128), HasSubstr("mixture-of-experts"));
  EXPECT_THROW((void)parse_model_config("{", "config.json"), UsageError);
  json config = config_32b();
  config.erase("vision_config");
  EXPECT_THAT(refusal(config), HasSubstr("vision_config is missing"));
}

}  // namespace
}  // namespace retinue::layers
