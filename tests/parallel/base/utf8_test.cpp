#include "parallel/base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace retinue {
namespace {

TEST(Utf8, RoundTripsTheBordersOfEveryLength) {
  for (const char32_t code_point : {U'\0', U'\x7F', U'\x80', U'\u07FF', U'\u0800', U'\uD7FF',
                                    U'\uE000', U'\uFFFF', U'\U00010000', U'\U0010FFFF'}) {
    std::string text;
    append_utf8(text, code_point);
    const Utf8Step step = decode_utf8(text, 0);
    EXPECT_EQ(step.code_point, code_point);
    EXPECT_EQ(step.bytes, text.size());
    EXPECT_TRUE(step.well_formed);
    EXPECT_TRUE(is_well_formed_utf8(text));
  }
}

/// As Python's bytes.decode(errors="replace").
TEST(Utf8, ReplacesEachMaximalSubpartOnce) {
  const std::string r = "\xEF\xBF\xBD";  // U+FFFD
  EXPECT_EQ(replace_malformed_utf8("a\xE2\x82z"), "a" + r + "z");
  EXPECT_EQ(replace_malformed_utf8("\xC0\xAF"), r + r) << "an overlong form";
  EXPECT_EQ(replace_malformed_utf8("\xED\xA0\x80"), r + r + r) << "a surrogate";
  EXPECT_EQ(replace_malformed_utf8("\xF4\x90\x80\x80"), r + r + r + r) << "past U+10FFFF";
  EXPECT_EQ(replace_malformed_utf8("\x80"), r);
  EXPECT_FALSE(is_well_formed_utf8("\x80"));
}

TEST(Utf8, KnowsWhichBytesAtTheEndMayStillBeCompleted) {
  const std::string text = "\xF0\x9F\x98\x80";
  for (std::size_t bytes = 0; bytes < text.size(); ++bytes)
    EXPECT_EQ(incomplete_utf8_tail("x" + text.substr(0, bytes)), bytes);
  EXPECT_EQ(incomplete_utf8_tail("x" + text), 0U);
  EXPECT_EQ(incomplete_utf8_tail("\x80"), 0U) << "begins no character";
}

}  // namespace
}  // namespace retinue
