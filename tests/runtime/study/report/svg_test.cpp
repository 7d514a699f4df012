#include "runtime/study/report/svg.h"

#include "runtime/study/report/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue::study {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Svg, TextIsEscaped) {
  EXPECT_EQ(escaped("<img onerror='x'> & \"y\"\n"),
            "&lt;img onerror=&#39;x&#39;&gt; &amp; &quot;y&quot; ");
  EXPECT_THAT(stacked_bars({.title = "<b>", .parts = {"<i>"}, .bars = {{"<u>", {1.0}}}}),
              Not(testing::ContainsRegex("<[biu]>")));
}

TEST(Svg, LargestValueReachesTheTopTickAndNothingLeavesThePage) {
  const std::string chart =
      line_chart({.title = "t",
                  .x_label = "x",
                  .y_label = "y",
                  .series = {{.name = "s", .points = {{1, 10, 9, 11}, {2, 18}, {4, 30}}}},
                  .log_x = true});
  EXPECT_THAT(chart, HasSubstr(">30<"));
  EXPECT_THAT(chart, HasSubstr("polyline"));
  EXPECT_THAT(chart, Not(HasSubstr("nan")));
  EXPECT_THAT(chart, Not(HasSubstr("inf")));
}

TEST(Svg, ChartsWithoutValuesAreLeftOut) {
  EXPECT_EQ(line_chart({.title = "t", .x_label = "", .y_label = "", .series = {}}), "");
  EXPECT_EQ(paired_bars({.title = "t", .unit = "s", .first = "a", .second = "b", .bars = {}}), "");
}

TEST(Html, PageFetchesNothing) {
  const std::string page = html_page("a <title>", "<p>x</p>");
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, HasSubstr("a &lt;title&gt;"));
  for (const char* outside : {"http://", "https://", "<script", "<link", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
}

}  // namespace
}  // namespace retinue::study
