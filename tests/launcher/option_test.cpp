#include "launcher/option.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace retinue::launcher {
namespace {

using testing::HasSubstr;

enum class Colour { kRed, kGreen, kBlue };
constexpr auto kColours = std::to_array<Named<std::optional<Colour>>>({{"any", std::nullopt},
                                                                       {"red", Colour::kRed},
                                                                       {"scarlet", Colour::kRed},
                                                                       {"green", Colour::kGreen},
                                                                       {"", Colour::kBlue}});

std::string refusal(const Option& option, const std::string& text) {
  try {
    set_from_text(option, text, "[here]");
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ByName, ReadsAndShowsAnEnumByItsNames) {
  std::optional<Colour> colour;
  const Option option{.name = "colour", .target = by_name(colour, kColours)};
  EXPECT_EQ(default_text(option), "any");
  set_from_text(option, "scarlet", "");
  EXPECT_EQ(colour, Colour::kRed);
  EXPECT_EQ(default_text(option), "red");  // the first of two names
  set_from_json(option, "\"green\"", "");
  EXPECT_EQ(colour, Colour::kGreen);
  EXPECT_EQ(refusal(option, "mauve"), "[here] wants any|red|scarlet|green, got 'mauve'.");
  EXPECT_EQ(colour, Colour::kGreen);
  EXPECT_THROW(set_from_json(option, "3", ""), UsageError);
}

TEST(ByName, AValueWithoutANameIsNotGiven) {
  std::optional<Colour> colour;
  const Option option{.name = "colour", .target = by_name(colour, kColours)};
  EXPECT_TRUE(has_value(option));
  set_from_text(option, "", "");
  EXPECT_EQ(colour, Colour::kBlue);
  EXPECT_FALSE(has_value(option));
}

struct Pair {
  std::string left, right;
  [[nodiscard]] std::string text() const { return left.empty() ? "" : left + "," + right; }
};
Pair parse_pair(std::string_view text) {
  const auto comma = text.find(',');
  if (comma == text.npos) throw UsageError("[--pair] wants two");
  return {std::string(text.substr(0, comma)), std::string(text.substr(comma + 1))};
}

TEST(ByForm, ReadsAndShowsAValueByItsOwnForm) {
  Pair now, standard;
  const Option option{.name = "pair", .target = by_form(now, parse_pair)};
  EXPECT_FALSE(has_value(option));
  set_from_text(option, "a,b", "");
  EXPECT_EQ(now.right, "b");
  EXPECT_THAT(refusal(option, "a"), HasSubstr("[--pair] wants two"));
  const Table table{"", {option}};
  const Table defaults{"", {{.name = "pair", .target = by_form(standard, parse_pair)}}};
  EXPECT_THAT(arguments_of(table, defaults), testing::ElementsAre("--pair", "a,b"));
  EXPECT_THAT(arguments_of(table, table), testing::IsEmpty());
}

}  // namespace
}  // namespace retinue::launcher
