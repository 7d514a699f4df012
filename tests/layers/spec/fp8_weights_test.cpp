#include "layers/spec/config.h"
#include "parallel/base/check.h"
#include "tests/support/source_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <utility>

namespace retinue::layers {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

/// A model whose projections have whole blocks, FP8 as the official checkpoints say it.
json wide() {
  std::ifstream file(test::source_folder() + "/tests/golden/fp8/configs/fp8-wide/config.json");
  return json::parse(file);
}
ModelConfig parse(const json& config) { return parse_model_config(config.dump(), "config.json"); }
std::string refusal(const json& config) {
  try {
    (void)parse(config);
    return "";
  } catch (const UsageError& error) {
    return error.what();
  }
}

const std::string kLayer = "model.language_model.layers.";

TEST(Fp8Weights, TheOfficialListKeepsTheTowerAndTheHead) {
  const ModelConfig config = parse(wide());
  ASSERT_TRUE(config.fp8);
  EXPECT_TRUE(config.fp8->covers(kLayer + "0.self_attn.q_proj"));
  EXPECT_TRUE(config.fp8->covers(kLayer + "2.mlp.down_proj"));
  EXPECT_FALSE(config.fp8->covers("model.visual.blocks.0.attn.qkv"));
  EXPECT_FALSE(config.fp8->covers("model.visual.merger.linear_fc1"));
  EXPECT_FALSE(config.fp8->covers("lm_head"));
}

TEST(Fp8Weights, ANameInTheListKeepsAllPathsThatContainIt) {
  json config = wide();
  config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "visual", "layers.1.mlp"};
  const ModelConfig parsed = parse(config);
  EXPECT_FALSE(parsed.fp8->covers(kLayer + "1.mlp.up_proj"));
  EXPECT_TRUE(parsed.fp8->covers(kLayer + "1.self_attn.o_proj"));
  EXPECT_TRUE(parsed.fp8->covers(kLayer + "0.mlp.up_proj"));
  EXPECT_TRUE(parsed.fp8->covers_in_some_layer("mlp.up_proj", 3));
}

TEST(Fp8Weights, OtherSpellingsOfTheSameAreRead) {
  const json official = wide();
  json config = official;
  config["text_config"]["quantization_config"] = official["quantization_config"];
  config.erase("quantization_config");
  EXPECT_TRUE(parse(config).fp8) << "inside text_config";
  config = official;
  json& settings = config["quantization_config"];
  settings["ignored_layers"] = settings["modules_to_not_convert"];
  settings.erase("modules_to_not_convert");
  EXPECT_EQ(parse(config).fp8->not_converted, parse(official).fp8->not_converted);
  for (const char* key : {"fmt", "activation_scheme", "weight_block_size"}) settings.erase(key);
  EXPECT_EQ(refusal(config), "") << "as transformers writes it";
  settings["dequantize"] = false;
  settings["kv_cache_scheme"] = nullptr;
  EXPECT_EQ(refusal(config), "");
}

TEST(Fp8Weights, AnEmptyObjectIsNone) {
  json config = wide();
  const json settings = std::exchange(config["quantization_config"], json::object());
  EXPECT_FALSE(parse(config).fp8);
  config["text_config"]["quantization_config"] = settings;
  EXPECT_TRUE(parse(config).fp8) << "it hides no other";
}

TEST(Fp8Weights, AListOfAllModulesIsNone) {
  json config = wide();
  config["quantization_config"]["modules_to_not_convert"] = {"model.", "lm_head"};
  EXPECT_FALSE(parse(config).fp8);
}

TEST(Fp8Weights, OtherMethodsAreRefusedInEachSection) {
  for (const char* section : {"text_config", "vision_config"}) {
    json config = wide();
    config[section]["quantization_config"] = {{"quant_method", "awq"}};
    EXPECT_THAT(refusal(config), HasSubstr("awq")) << section;
  }
}

TEST(Fp8Weights, OtherMethodsAreRefusedByTheirNames) {
  json config = wide();
  for (const char* method : {"awq", "gptq", "bitsandbytes", "compressed-tensors", "fbgemm_fp8"}) {
    config["quantization_config"] = {{"quant_method", method}};
    EXPECT_THAT(refusal(config), AllOf(HasSubstr(std::string("\"") + method + "\""),
                                       HasSubstr("bfloat16 checkpoint")));
  }
}

TEST(Fp8Weights, OtherSpellingsOfTheMethodAreCorrected) {
  json config = wide();
  config["quantization_config"]["quant_method"] = "FP8";
  EXPECT_THAT(refusal(config), HasSubstr("\"FP8\", wanted \"fp8\" in small letters"));
  config["quantization_config"] = "fp8";
  EXPECT_THAT(refusal(config), HasSubstr("quantization_config is \"fp8\", wanted an object with"));
}

TEST(Fp8Weights, AMethodThatIsAbsentOrEmptyIsCalledSo) {
  json config = wide();
  for (const json& settings :
       {json{{"quant_method", ""}}, json{{"quant_method", nullptr}}, json{{"fmt", "e4m3"}}}) {
    config["quantization_config"] = settings;
    EXPECT_THAT(refusal(config), HasSubstr("has no quant_method, or an empty one, and only fp8"));
  }
}

TEST(Fp8Weights, SettingsThatChangeTheResultAreRefusedByName) {
  const json official = wide();
  for (const auto& [key, value] : {std::pair<const char*, json>{"fmt", "e5m2"},
                                   {"activation_scheme", "static"},
                                   {"weight_block_size", {64, 128}},
                                   {"weight_block_size", {128}},
                                   {"dequantize", true},
                                   {"scale_fmt", "ue8m0"},
                                   {"modules_to_not_convert", "lm_head"},
                                   {"modules_to_not_convert", {1}},
                                   {"modules_to_not_convert", {""}}}) {
    json config = official;
    config["quantization_config"][key] = value;
    EXPECT_THAT(refusal(config), AllOf(HasSubstr(std::string("quantization_config.") + key),
                                       AnyOf(HasSubstr("Use the FP8 or the bfloat16 checkpoint"),
                                             HasSubstr("Copy config.json again"))))
        << value;
  }
}

TEST(Fp8Weights, ProjectionsThatAreMultipliedTogetherAreFp8Together) {
  for (const char* part : {"q_proj", "v_proj", "layers.2.mlp.up_proj"}) {
    json config = wide();
    config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "visual", part};
    EXPECT_THAT(refusal(config), AllOf(HasSubstr("config.json: quantization_config."),
                                       HasSubstr(part), HasSubstr("both or none")));
  }
  json config = wide();
  config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "visual", "self_attn"};
  EXPECT_EQ(refusal(config), "");
}

TEST(Fp8Weights, AQuantisedTowerOrHeadIsRefusedByItsFirstModule) {
  json config = wide();
  json& settings = config["quantization_config"];
  settings["modules_to_not_convert"] = {"lm_head"};
  EXPECT_THAT(refusal(config), HasSubstr("model.visual.blocks.0.attn.qkv"));
  settings.erase("modules_to_not_convert");
  EXPECT_THAT(refusal(config), HasSubstr("model.visual.blocks.0.attn.qkv"))
      << "without a list transformers keeps the head alone";
  settings["modules_to_not_convert"] = {"visual"};
  EXPECT_EQ(refusal(config), "") << "a tied head is no matrix of its own";
  config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = false;
  EXPECT_THAT(refusal(config), HasSubstr("does not hold lm_head"));
}

TEST(Fp8Weights, InputsThatAreNoWholeGroupsAreRefused) {
  json config = wide();
  config["text_config"]["intermediate_size"] = 2048 + 64;
  EXPECT_THAT(refusal(config), AllOf(HasSubstr("mlp.down_proj"), HasSubstr("2112")));
  config["quantization_config"]["modules_to_not_convert"] = {"lm_head", "visual", "down_proj"};
  EXPECT_EQ(refusal(config), "") << "where it stays bfloat16 they may be anything";
}

TEST(Fp8Weights, AnotherDtypeThanBfloat16IsRefused) {
  json config = wide();
  config["dtype"] = "float16";
  EXPECT_THAT(refusal(config), HasSubstr("bfloat16"));
}

}  // namespace
}  // namespace retinue::layers
