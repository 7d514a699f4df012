#include "runtime/text/output_text.h"

#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

/// Token i is the i-th letter, 26 the first byte of é, 27 its second.
Detokenizer letters() {
  std::vector<std::string> bytes;
  for (char c = 'a'; c <= 'z'; ++c) bytes.emplace_back(1, c);
  bytes.emplace_back("\xC3");
  bytes.emplace_back("\xA9");
  return {bytes, std::vector<bool>(bytes.size())};
}

std::vector<std::int32_t> ids_of(std::string_view text) {
  std::vector<std::int32_t> ids;
  for (const char c : text) ids.push_back(c - 'a');
  return ids;
}

/// What take() gives after each token of `text`, joined by '|'.
std::string streamed(OutputText& output, std::string_view text) {
  const auto ids = ids_of(text);
  std::string parts;
  for (std::size_t i = 1; i <= ids.size(); ++i) {
    const bool stopped = output.update(std::span(ids).first(i));
    parts += output.take() + "|";
    if (stopped) break;
  }
  return parts + output.finish();
}

TEST(OutputText, StreamsWhatNoStopTextCanTakeBack) {
  OutputText none(letters(), {});
  EXPECT_EQ(streamed(none, "abc"), "a|b|c|");
  OutputText held(letters(), {"bcd"});
  EXPECT_EQ(streamed(held, "abcabce"), "a|||bca|||bce|");
  EXPECT_EQ(held.text(), "abcabce");
}

TEST(OutputText, EndsBeforeTheFirstStopText) {
  OutputText output(letters(), {"cd", "bc"});
  EXPECT_EQ(streamed(output, "abcdef"), "a|||");
  EXPECT_EQ(output.text(), "a");
}

TEST(OutputText, GivesTheRestOfAStopTextThatDidNotCome) {
  OutputText output(letters(), {"cde"});
  EXPECT_EQ(streamed(output, "abcd"), "a|b|||cd");
}

TEST(OutputText, HoldsACharacterThatIsCut) {
  OutputText output(letters(), {});
  const std::vector<std::int32_t> ids = {0, 26, 27, 26};
  output.update(std::span(ids).first(2));
  EXPECT_EQ(output.take(), "a");
  output.update(ids);
  EXPECT_EQ(output.take(), "\u00E9");
  EXPECT_EQ(output.finish(), "\uFFFD");
  EXPECT_EQ(output.text(), "a\u00E9\uFFFD");
}

}  // namespace
}  // namespace retinue::runtime
