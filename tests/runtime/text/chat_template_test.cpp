#include "runtime/text/chat_template.h"

#include "tests/runtime/text/template_golden.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace retinue::runtime {
namespace {

using testing::HasSubstr;

Result<std::string> render_with_data(const std::string& source) {
  RenderOptions options;
  options.add_generation_prompt = false;
  options.extra = &template_goldens()["data"];
  return ChatTemplate::parse(source, "t").render(Json::array(), options);
}

TEST(ChatTemplate, EveryFeatureRendersAsJinja2) {
  for (const Json& row : template_goldens()["features"]) {
    const auto source = row["template"].get<std::string>();
    try {
      const auto text = render_with_data(source);
      EXPECT_TRUE(text.ok()) << source << ": " << (text.ok() ? "" : text.error().message);
      if (text.ok()) {
        EXPECT_EQ(*text, row["text"].get<std::string>()) << source;
      }
    } catch (const UsageError& error) {
      ADD_FAILURE() << source << ": " << error.what();
    }
  }
  EXPECT_GE(template_goldens()["features"].size(), 80U);
}

TEST(ChatTemplate, WhatJinja2RaisesIsDataError) {
  for (const Json& row : template_goldens()["errors"]) {
    const auto source = row["template"].get<std::string>();
    const auto text = render_with_data(source);
    EXPECT_FALSE(text.ok()) << source << " gives " << *text;
    if (!text.ok()) {
      EXPECT_THAT(text.error().message, testing::StartsWith("t:")) << source;
    }
  }
}

TEST(ChatTemplate, WhatJinja2DoesNotParseIsUsageError) {
  for (const Json& row : template_goldens()["syntax_errors"]) {
    const auto source = row["template"].get<std::string>();
    EXPECT_THROW((void)ChatTemplate::parse(source, "t"), UsageError) << source;
  }
}

TEST(ChatTemplate, VisionTemplateRendersAsTransformers) {
  expect_chats_of_reference(
      ChatTemplate::parse(template_goldens()["templates"]["vision"].get<std::string>(), "vision"),
      "vision");
}

TEST(ChatTemplate, ReasoningTemplateRendersAsTransformers) {
  expect_chats_of_reference(
      ChatTemplate::parse(template_goldens()["templates"]["reasoning"].get<std::string>(),
                          "reasoning"),
      "reasoning");
}

std::string syntax_message(const std::string& source) {
  try {
    (void)ChatTemplate::parse(source, "a.jinja");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ChatTemplate, ErrorsNameLineAndColumn) {
  EXPECT_THAT(syntax_message("é\n  {{ n + }}"),
              HasSubstr("a.jinja:2:10: wanted an expression, got }}"));
  EXPECT_THAT(syntax_message("{% if x %}\n"), HasSubstr("a.jinja:1:11: wanted {% endif %}"));
  EXPECT_THAT(syntax_message("\r\n{{ x | nofilter }}"),
              HasSubstr("a.jinja:2:8: no filter named 'nofilter'"));
  EXPECT_THAT(syntax_message("{% include 'x' %}"), HasSubstr("a.jinja:1:4: "));
  const auto text = render_with_data("\n\n{{ nope.x }}");
  ASSERT_FALSE(text.ok());
  EXPECT_EQ(text.error().message, "t:3:8: 'nope' is undefined");
  EXPECT_EQ(text.error().stage, "template");
}

std::string repeat(const std::string& part, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += part;
  return out;
}

TEST(ChatTemplate, DeepOrEndlessTemplatesAreErrorsAndNotCrashes) {
  constexpr int kMany = 20000;
  for (const std::string& source :
       {"{{ " + repeat("(", kMany), "{{ " + repeat("[", kMany), "{{ " + repeat("-", kMany) + "1 }}",
        "{{ " + repeat("not ", kMany) + "1 }}", "{{ 1" + repeat(" + 1", kMany) + " }}",
        "{{ a" + repeat(".a", kMany) + " }}", "{{ a" + repeat("|trim", kMany) + " }}",
        "{{ a" + repeat(" if 1 else 2", kMany) + " }}", repeat("{% if t %}", kMany)}) {
    EXPECT_THROW((void)ChatTemplate::parse(source, "deep"), UsageError) << source.substr(0, 30);
  }
  for (const char* source :
       {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='aaaaaaaa') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x "
        "%}{% endfor %}",
        "{{ 'a' * 100000000000 }}", "{{ 9223372036854775807 + 1 }}", "{{ 10 ** 40 }}"}) {
    EXPECT_FALSE(render_with_data(source).ok()) << source;
  }
}

// x is a list that has 2^60 parts when it is walked.
constexpr const char* kShared =
    "{% set ns = namespace(x=[1], y=[1]) %}{% for a in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
    "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";

TEST(ChatTemplate, TheWorkOfEveryOperationIsBounded) {
  const std::string shared = kShared;
  const std::string deep = "{% set ns = namespace(x=1) %}{% for a in range(99999) %}";
  for (const std::string& source : {
           shared + "{{ ns.x }}",
           shared + "{{ ns.x == ns.y }}",
           shared + "{{ ns.x != ns.y }}",
           shared + "{{ ns.x | tojson }}",
           shared + "{{ ns.x < ns.y }}",
           shared + "{{ [ns.x, ns.y] | sort }}",
           shared + "{{ ns.x in [ns.y] }}",
           shared + "{{ ns.x ~ '' }}",
           shared + "{{ {'a': ns.x} | string }}",
           shared + "{{ [ns.x] | join }}",
           deep + "{% set ns.x = [ns.x] %}{% endfor %}",
           deep + "{% set ns.x = {'a': ns.x} %}{% endfor %}",
           deep + "{% set ns.x = namespace(y=ns.x) %}{% endfor %}",
           std::string("{{ ('a' * 6000000).strip('b' * 60000000 ~ 'a') }}"),
           std::string("{{ ('x\n' * 6000000) | indent('a' * 6000000) }}"),
           std::string("{{ ('a' * 6000000).replace('a', 'b' * 6000000) }}"),
           std::string("{{ ['a'] * 1000000 | map('replace', 'a', 'b' * 6000000) | list }}"),
           std::string("{{ (['a'] * 1000000) | map('default', 'b') | map('replace', 'a', 'b' * "
                       "6000000) | list }}"),
           std::string("{{ ['a' * 60000000] * 1000000 }}"),
           std::string("{% for x in ['a' * 60000000] * 9 %}{% for y in range(99999) %}{{ "
                       "loop.index ~ x }}{% endfor %}{% endfor %}"),
           std::string("{{ ('a' * 60000000).split('a') }}"),
           std::string("{{ ('a' * 60000000) | list }}"),
       }) {
    const auto text = render_with_data(source);
    ASSERT_FALSE(text.ok()) << source;
    EXPECT_THAT(text.error().message, testing::MatchesRegex("t:[12]:[0-9]+: .*")) << source;
  }
}

TEST(ChatTemplate, NoValueHoldsItself) {
  const std::string two = "{% set a = namespace() %}{% set b = namespace() %}";
  for (const std::string& source :
       {two + "{% set a.x = b %}{% set b.x = a %}{{ a == b }}{{ a }}", two + "{% set a.x = a %}",
        two + "{% set a.x = [b] %}", two + "{% set a.x = {'k': [b]} %}",
        two + "{% for i in [b, b] %}{% set a.x = loop %}{% endfor %}",
        two + "{% for i in [b, b] %}{% set a.x = loop.cycle %}{% endfor %}",
        two + "{% set a.x = {'k': b}.items %}"}) {
    const auto text = render_with_data(source);
    ASSERT_FALSE(text.ok()) << source;
    EXPECT_THAT(text.error().message, HasSubstr("namespace")) << source;
  }
}

TEST(ChatTemplate, LongSearchesAreLinear) {
  EXPECT_EQ(*render_with_data("{{ ('a' * 3000000 ~ 'b') in 'a' * 6000000 }}"), "False");
  EXPECT_EQ(*render_with_data("{{ ('a' * 6000000).find('a' * 3000000 ~ 'b') }}"), "-1");
  EXPECT_EQ(*render_with_data("{{ ('a' * 6000000).count('a' * 3000000 ~ 'b') }}"), "0");
  EXPECT_EQ(*render_with_data("{{ ('a' * 6000000).rsplit('b' ~ 'a' * 3000000) | length }}"), "1");
  EXPECT_EQ(*render_with_data("{{ 'aabaaa'.rsplit('aa', 1) }}"), "['aaba', '']");
  EXPECT_EQ(*render_with_data("{{ ('a' * 60000).split('a' * 30000 ~ 'b') | length }}"), "1");
}

TEST(ChatTemplate, IntegersAtTheirLimitsAreAsInPython) {
  const std::string least = "(-9223372036854775807 - 1)";
  EXPECT_EQ(*render_with_data("{{ 9223372036854775807 % (-4611686018427387904) }}"), "-1");
  EXPECT_EQ(*render_with_data("{{ " + least + " % -1 }}"), "0");
  EXPECT_EQ(*render_with_data("{{ " + least + " % 3 }}"), "1");
  EXPECT_FALSE(render_with_data("{{ " + least + " // -1 }}").ok());
  EXPECT_FALSE(render_with_data("{{ -" + least + " }}").ok());
}

TEST(ChatTemplate, DeepMessagesAreDataErrors) {
  Json deep = Json::array();
  for (int i = 0; i < 1000; ++i) deep = Json::array({deep});
  EXPECT_FALSE(ChatTemplate::parse("{{ messages }}", "t").render(deep, {}).ok());
}

class ChatTemplateFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("chat_template_" +
               std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const char* name, const std::string& text) { std::ofstream(folder_ / name) << text; }
  std::string rendered() {
    return ChatTemplate::load(folder_.string()).render(Json::array(), {}).value();
  }

  std::filesystem::path folder_;
};

TEST_F(ChatTemplateFiles, AreTakenInTheOrderOfTheReference) {
  EXPECT_THROW((void)rendered(), UsageError);
  write("tokenizer_config.json",
        R"({"chat_template": "config {{ eos_token }}", "eos_token": {"content": "<e>"}})");
  EXPECT_EQ(rendered(), "config <e>");
  write(
      "chat_template.json",
      R"({"chat_template": [{"name": "x", "template": "x"}, {"name": "default", "template": "json"}]})");
  EXPECT_EQ(rendered(), "json");
  write("chat_template.jinja", "jinja {{ eos_token }}\n");
  EXPECT_EQ(rendered(), "jinja <e>");
  write("tokenizer_config.json", "{");
  EXPECT_THROW((void)rendered(), UsageError);
}

}  // namespace
}  // namespace retinue::runtime
