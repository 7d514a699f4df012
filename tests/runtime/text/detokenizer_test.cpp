#include "runtime/text/detokenizer.h"

#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

// 0 and 1 make a bicycle, 2 is a special token, 3 a letter, 4 a lead byte without its rest.
Detokenizer small_detokenizer() {
  return Detokenizer({"\xF0\x9F\x9A", "\xB2", "<|end|>", "a", "\xE2\x82"},
                     {false, false, true, false, false});
}

TEST(Detokenizer, JoinsBytesBeforeItReadsThem) {
  const Detokenizer d = small_detokenizer();
  const std::int32_t ids[] = {3, 0, 1, 2, 3};
  EXPECT_EQ(d.decode(ids), "a\U0001F6B2a");
  EXPECT_EQ(d.decode(ids, false), "a\U0001F6B2<|end|>a");
}

TEST(Detokenizer, ReplacesEachMaximalSubpartOnce) {
  const Detokenizer d = small_detokenizer();
  const std::int32_t ids[] = {0, 3, 1, 4, 4};
  EXPECT_EQ(d.decode(ids), "\uFFFDa\uFFFD\uFFFD\uFFFD");
}

TEST(Detokenizer, IdsWithoutATokenGiveNothing) {
  const Detokenizer d = small_detokenizer();
  const std::int32_t ids[] = {-1, 3, 5, 1 << 30};
  EXPECT_EQ(d.decode(ids), "a");
}

TEST(DetokenizerStream, HoldsBackACutCharacter) {
  DetokenizerStream stream(small_detokenizer());
  EXPECT_EQ(stream.push(3), "a");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(2), "");  // a skipped token does not end the character
  EXPECT_EQ(stream.push(1), "\U0001F6B2");
  EXPECT_EQ(stream.push(0), "");
  EXPECT_EQ(stream.push(3), "\uFFFDa");
  EXPECT_EQ(stream.push(4), "");
  EXPECT_EQ(stream.finish(), "\uFFFD");
  EXPECT_EQ(stream.finish(), "");
}

}  // namespace
}  // namespace retinue::runtime
