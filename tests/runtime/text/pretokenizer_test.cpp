#include "runtime/text/pretokenizer.h"

#include "runtime/text/unicode/unicode_class.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;

std::vector<std::string> pieces(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = next_piece_end(text, at);
    out.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

TEST(Pretokenizer, FollowsEachAlternative) {
  EXPECT_THAT(pieces("it's We'LL x'ſ 'sy"),
              ElementsAre("it", "'s", " We", "'LL", " x", "'ſ", " '", "sy"));
  EXPECT_THAT(pieces("(word _a9b"), ElementsAre("(word", " _", "a", "9", "b"));
  EXPECT_THAT(pieces("12³"), ElementsAre("1", "2", "³"));
  EXPECT_THAT(pieces(" !!\r\n\nx"), ElementsAre(" !!\r\n\n", "x"));
  EXPECT_THAT(pieces("  \n \n  x"), ElementsAre("  \n \n", " ", " x"));
  EXPECT_THAT(pieces("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(pieces("a   9"), ElementsAre("a", "  ", " ", "9"));
  EXPECT_THAT(pieces("a  "), ElementsAre("a", "  "));
  EXPECT_THAT(pieces("\tx\t\t!"), ElementsAre("\tx", "\t", "\t", "!"));
}

TEST(Pretokenizer, MarksAreNeitherLetterNorNumber) {
  EXPECT_THAT(pieces("a\u0334b"), ElementsAre("a", "\u0334b"));
  EXPECT_THAT(pieces("\u0334\u0334b"), ElementsAre("\u0334\u0334", "b"));
}

// U+105C0 is a letter since Unicode 16, U+180E no white space since 6.3.
TEST(Pretokenizer, ClassesAreThoseOfUnicode16) {
  EXPECT_EQ(unicode_facts(0x105C0).kind, UnicodeClass::kLetter);
  EXPECT_EQ(unicode_facts(0x16D70).kind, UnicodeClass::kNumber);
  EXPECT_EQ(unicode_facts(0x180E).kind, UnicodeClass::kOther);
  EXPECT_EQ(unicode_facts(0x85).kind, UnicodeClass::kSpace);
  EXPECT_EQ(unicode_facts(0x10FFFF).kind, UnicodeClass::kOther);
}

TEST(Nfc, Composes) {
  EXPECT_EQ(normalize_nfc("e\u0301"), "é");
  EXPECT_EQ(normalize_nfc("\u212B"), "\u00C5");
  EXPECT_EQ(normalize_nfc("\u1100\u1161\u11A8"), "\uAC01");
  EXPECT_EQ(normalize_nfc("\u0344"), "\u0308\u0301");
  EXPECT_EQ(normalize_nfc("q\u0307\u0323"), "q\u0323\u0307");
  EXPECT_EQ(normalize_nfc("plain"), "plain");
  EXPECT_EQ(normalize_nfc("\uAC00\u11A7"),
            "\uAC00\u11A7");  // no final consonant: utf8proc drops it
}

// U+1DF6 got its combining class in Unicode 10: the reference's data are of 9, so nothing moves.
TEST(Nfc, LeavesCharactersNewerThanUnicode9) {
  EXPECT_EQ(normalize_nfc("a\u1DF6\u0334"), "a\u1DF6\u0334");
  EXPECT_EQ(normalize_nfc("\U00011935\U00011930"), "\U00011935\U00011930");
}

}  // namespace
}  // namespace retinue::runtime
