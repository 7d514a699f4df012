#include "layers/spec/json_text.h"

#include "layers/spec/config.h"
#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace retinue::layers {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

std::string nested(int levels) {
  return std::string(static_cast<std::size_t>(levels), '[') +
         std::string(static_cast<std::size_t>(levels), ']');
}

TEST(JsonText, LevelsAreOfBracketsOutsideStrings) {
  EXPECT_EQ(json_levels(""), 0);
  EXPECT_EQ(json_levels(R"({"a": [1, {"b": 2}], "c": [[]]})"), 3);
  EXPECT_EQ(json_levels(R"(["[[[\\\"[[", {"}": 1}])"), 2);
}

TEST(JsonText, RefusesOneLevelMoreThanTheLimitAndNamesTheFile) {
  EXPECT_TRUE(parse_json<json>(nested(kMostJsonLevels), "[x] f.json").is_array());
  for (const int levels : {kMostJsonLevels + 1, 500'000}) {
    const auto named = ThrowsMessage<UsageError>(AllOf(HasSubstr(
        "[x] f.json: wanted at most 1000 levels of brackets, got " + std::to_string(levels))));
    EXPECT_THAT([&] { (void)parse_json<json>(nested(levels), "[x] f.json"); }, named);
    EXPECT_THAT([&] { (void)parse_json_or_refuse<json>(nested(levels), "[x] f.json"); }, named);
  }
}

TEST(JsonText, ANumberThatIsTooLargeIsNoJson) {
  EXPECT_TRUE(parse_json<json>("1e400", "f").is_discarded());
  for (const char* text : {"1e400", "[1,"})
    EXPECT_THAT([&] { (void)parse_json_or_refuse<json>(text, "[x] f.json"); },
                ThrowsMessage<UsageError>(HasSubstr("[x] f.json is no JSON: ")));
}

TEST(JsonText, AConfigurationOf500000LevelsIsRefused) {
  for (const std::string& text :
       {R"({"quantization_config": )" + nested(500'000) + "}",
        R"({"quantization_config": {"weight_block_size": )" + nested(500'000) + "}}"})
    EXPECT_THAT(
        [&] { (void)parse_model_config(text, "m/config.json"); },
        ThrowsMessage<UsageError>(HasSubstr("[config] m/config.json: wanted at most 1000")));
}

}  // namespace
}  // namespace retinue::layers
