#include "runtime/dataset/media_bytes.h"
#include "runtime/dataset/source.h"
#include "runtime/media/media_decoder.h"
#include "tests/support/job_ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sstream>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

class OpenAiBatch : public testing::Test {
 protected:
  Item one(const Json& body) {
    return line({{"custom_id", "request-1"},
                 {"method", "POST"},
                 {"url", "/v1/chat/completions"},
                 {"body", body}});
  }
  Item line(const Json& line) {
    test::write_text(folder_.path("batch.jsonl"), "\n" + line.dump() + "\n");
    std::istringstream none;
    SourceOptions options;
    options.inputs = {folder_.path("batch.jsonl")};
    return list_table(options, none, "").item(0);
  }
  /// A body with messages and these keys.
  static Json with(const Json& keys) {
    Json body = {{"model", "x"}, {"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
    body.update(keys);
    return body;
  }
  test::TemporaryFolder folder_;
};

TEST_F(OpenAiBatch, ARequestBecomesAnItemWithItsSampling) {
  const Item item = one(with({{"max_tokens", 9},
                              {"max_completion_tokens", 7},
                              {"temperature", 0.5},
                              {"top_p", 0.9},
                              {"top_k", -1},
                              {"min_p", 0.1},
                              {"repetition_penalty", 1.1},
                              {"presence_penalty", 0},
                              {"seed", 42},
                              {"stop", "END"},
                              {"stop_token_ids", {5, 6}},
                              {"logprobs", true},
                              {"n", 1},
                              {"tools", nullptr},
                              {"frequency_penalty", 0},
                              {"response_format", {{"type", "text"}}},
                              {"user", "somebody"},
                              {"stream", false}}));
  ASSERT_FALSE(item.error) << item.error->message;
  EXPECT_EQ(item.id, "request-1");
  EXPECT_THAT(item.messages, HasSubstr("Hello"));
  ASSERT_TRUE(item.sampling);
  EXPECT_EQ(item.sampling->max_new_tokens, 7);
  EXPECT_EQ(item.sampling->temperature, 0.5);
  EXPECT_EQ(item.sampling->top_k, 0);
  EXPECT_EQ(item.sampling->presence_penalty, 0.0);
  EXPECT_EQ(item.sampling->seed, 42U);
  EXPECT_THAT(*item.sampling->stop, testing::ElementsAre("END"));
  EXPECT_THAT(item.sampling->stop_ids, testing::ElementsAre(5, 6));
  EXPECT_TRUE(item.sampling->logprobs);
  EXPECT_FALSE(item.sampling->ignore_eos);
  // It is part of what the job asks.
  EXPECT_NE(pack_item(item), pack_item(one(with({{"max_tokens", 9}}))));
  EXPECT_EQ(one(with({{"max_tokens", 9}})).sampling->max_new_tokens, 9);
}

TEST_F(OpenAiBatch, AManifestLineObeysTheSameKeys) {
  const Json keys = {{"max_completion_tokens", 5}, {"min_p", 0.125}, {"repetition_penalty", 1.5},
                     {"presence_penalty", -0.5},   {"stop", ""},     {"stop_token_ids", {3}},
                     {"ignore_eos", true}};
  Json plain = keys;
  plain["prompt"] = "How many?";
  for (const Item& item : {one(with(keys)), line(plain)}) {
    ASSERT_FALSE(item.error) << item.error->message;
    EXPECT_EQ(item.sampling->max_new_tokens, 5);
    EXPECT_EQ(item.sampling->min_p, 0.125);
    EXPECT_EQ(item.sampling->repetition_penalty, 1.5);
    EXPECT_EQ(item.sampling->presence_penalty, -0.5);
    EXPECT_FALSE(item.sampling->stop);
    EXPECT_EQ(item.sampling->stop_ids, std::vector<std::int32_t>{3});
    EXPECT_TRUE(item.sampling->ignore_eos);
  }
  Json framed = {{"prompt", "How many?"}, {"max_tokens", 6}, {"max_completion_tokens", ""}};
  EXPECT_EQ(line(framed).sampling->max_new_tokens, 6) << "an absent newer name hides no older one";
  plain["max_new_tokens"] = 4;
  EXPECT_THAT(line(plain).error->message, HasSubstr("max_new_tokens and max_completion_tokens"));
}

TEST_F(OpenAiBatch, SamplingThatIsNotServedFailsAManifestLineToo) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"({"frequency_penalty": 0.5})", "frequency_penalty: 0.5 is not served"},
      {R"({"length_penalty": 2})", "length_penalty: 2 is not served"},
      {R"({"no_repeat_ngram_size": 3})", "no_repeat_ngram_size: 3 is not served"},
      {R"({"min_tokens": 4})", "min_tokens: 4 is not served"},
      {R"({"min_new_tokens": 4})", "min_new_tokens: 4 is not served"},
      {R"({"logit_bias": {"5": 1}})", "logit_bias"},
      {R"({"best_of": 2})", "best_of: 2 is not served"},
      {R"({"num_beams": 4})", "num_beams: 4 is not served"},
      {R"({"use_beam_search": true})", "use_beam_search: true is not served"},
      {R"({"bad_words": ["a"]})", "bad_words"},
      {R"({"response_format": {"type": "json_object"}})", "response_format"},
      {R"({"guided_json": "{}"})", "guided_json: is not known"},
      {R"({"guided_regex": "a"})", "guided_regex: is not known"},
      {R"({"guided_choice": ["a"]})", "guided_choice: is not known"},
      {R"({"structured_outputs": {}})", "structured_outputs: is not known"}};
  for (const auto& [keys, message] : cases) {
    Json asked = Json::parse(keys);
    asked["prompt"] = "How many?";
    const Item item = line(asked);
    ASSERT_TRUE(item.error) << keys;
    EXPECT_THAT(item.error->message, testing::StartsWith(message));
  }
  // What changes nothing, and what data frames write for an absent value, is no such question.
  for (const char* keys : {R"({"frequency_penalty": 0.0})", R"({"num_beams": 1})",
                           R"({"guided_json": null})", R"({"bad_words": []})", R"({"n": 3})"}) {
    Json asked = Json::parse(keys);
    asked["prompt"] = "How many?";
    EXPECT_FALSE(line(asked).error) << keys;
  }
}

TEST_F(OpenAiBatch, WhatWouldChangeTheAnswerAndIsNotServedFailsTheItemByName) {
  const std::vector<std::pair<const char*, const char*>> cases = {
      {R"({"tools": [{"type": "function"}]})", "body.tools"},
      {R"({"n": 2})", "body.n: 2 is not served"},
      {R"({"response_format": {"type": "json_object"}})", "body.response_format"},
      {R"({"frequency_penalty": 0.5})", "body.frequency_penalty"},
      {R"({"logit_bias": {"5": 1}})", "body.logit_bias"},
      {R"({"guided_json": {}})", "body.guided_json: is not known"},
      {R"({"top_logprobs": 3})", "body.top_logprobs"},
      {R"({"max_tokens": "9"})", "body.max_tokens: wanted a whole number, got string"},
      {R"({"temperature": "hot"})", "body.temperature: wanted a number"},
      {R"({"stop": [1]})", "body.stop"},
      {R"({"stop_token_ids": [-1]})", "body.stop_token_ids"},
      {R"({"messages": 5})", "list of messages"}};
  for (const auto& [keys, message] : cases) {
    const Item item = one(with(Json::parse(keys)));
    ASSERT_TRUE(item.error) << keys;
    EXPECT_EQ(item.id, "request-1");
    EXPECT_THAT(item.error->message, HasSubstr(message));
  }
  Json other = {{"custom_id", "a"}, {"url", "/v1/embeddings"}, {"body", with(Json::object())}};
  EXPECT_THAT(line(other).error->message, HasSubstr("/v1/embeddings"));
  other = {{"custom_id", 5}, {"body", with(Json::object())}};
  EXPECT_THAT(line(other).error->message, HasSubstr("custom_id"));
  other = {{"custom_id", "a"}, {"method", "GET"}, {"body", with(Json::object())}};
  EXPECT_THAT(line(other).error->message, HasSubstr("method"));
}

TEST_F(OpenAiBatch, ImagesInTheLineStayThereAndImagesOfTheNetworkAreRefused) {
  const auto showing = [&](const std::string& url) {
    return one(with({{"messages",
                      {{{"role", "user"},
                        {"content", {{{"type", "image_url"}, {"image_url", {{"url", url}}}}}}}}}}));
  };
  const Item item = showing("data:image/png;base64,SGVsbG8=");
  ASSERT_FALSE(item.error) << item.error->message;
  const MediaFile& file = item.media[0].files[0];
  EXPECT_EQ(file.place, MediaPlace::kBase64);
  EXPECT_EQ(file.name(), "data:image/png;base64");
  EXPECT_EQ(test::read_text(file.path).substr(static_cast<std::size_t>(file.offset),
                                              static_cast<std::size_t>(file.bytes)),
            "SGVsbG8=");
  const auto files = read_media(item.media[0]);
  ASSERT_TRUE(files.ok());
  EXPECT_EQ((**files)[0].size(), 5U);
  EXPECT_THAT(showing("https://x/y.png").error->message, HasSubstr("is not a local file"));
}

}  // namespace
}  // namespace retinue::runtime
