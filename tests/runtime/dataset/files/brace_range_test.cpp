#include "runtime/dataset/files/brace_range.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::runtime {
namespace {

using testing::ElementsAre;

TEST(BraceRange, ExpandsAsBashDoes) {
  EXPECT_THAT(expand_ranges("{0..2}.tar"), ElementsAre("0.tar", "1.tar", "2.tar"));
  EXPECT_THAT(expand_ranges("a-{008..010}.tar"),
              ElementsAre("a-008.tar", "a-009.tar", "a-010.tar"));
  EXPECT_THAT(expand_ranges("{2..0}"), ElementsAre("2", "1", "0"));
  EXPECT_THAT(expand_ranges("{5..5}"), ElementsAre("5"));
  EXPECT_THAT(expand_ranges("{0..1}/{10..11}"), ElementsAre("0/10", "0/11", "1/10", "1/11"));
  EXPECT_THAT(expand_ranges("{9..011}"), ElementsAre("009", "010", "011"));
}

TEST(BraceRange, OtherBracesStay) {
  for (const char* text : {"a.tar", "{a,b}.tar", "{a..c}", "{1..}", "{..2}", "{-1..2}", "{1..2",
                           "}{", "{}", "{1...3}", "{99999999999999999999..2}"})
    EXPECT_THAT(expand_ranges(text), ElementsAre(text));
  EXPECT_THAT(expand_ranges("{a,{1..2}}"), ElementsAre("{a,1}", "{a,2}"));
}

TEST(BraceRange, TooManyNamesAreRefused) {
  EXPECT_THROW(expand_ranges("{0..999999999999}"), UsageError);
  EXPECT_THROW(expand_ranges("{0..99999}{0..99999}"), UsageError);
}

}  // namespace
}  // namespace retinue::runtime
