#include "runtime/monitor/metrics.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <array>
#include <limits>

namespace retinue::runtime {
namespace {

TEST(MetricsText, ReadsAsTheFormatSays) {
  MetricsText metrics;
  metrics.counter("retinue_items_total", "Items that ended.");
  metrics.sample(3, {{"outcome", "done"}});
  metrics.sample(1, {{"outcome", "failed"}, {"rank", "0"}});
  metrics.gauge("retinue_up_seconds", "Since the start.");
  metrics.sample(0.25);
  EXPECT_EQ(metrics.text(),
            "# HELP retinue_items_total Items that ended.\n"
            "# TYPE retinue_items_total counter\n"
            "retinue_items_total{outcome=\"done\"} 3\n"
            "retinue_items_total{outcome=\"failed\",rank=\"0\"} 1\n"
            "# HELP retinue_up_seconds Since the start.\n"
            "# TYPE retinue_up_seconds gauge\n"
            "retinue_up_seconds 0.25\n");
}

TEST(MetricsText, HistogramsSumUpTheirBuckets) {
  MetricsText metrics;
  metrics.histogram("retinue_item_seconds", "Time.", std::array{0.5, 2.0},
                    std::array<std::int64_t, 3>{2, 0, 5}, 12.5);
  EXPECT_EQ(metrics.text(),
            "# HELP retinue_item_seconds Time.\n"
            "# TYPE retinue_item_seconds histogram\n"
            "retinue_item_seconds_bucket{le=\"0.5\"} 2\n"
            "retinue_item_seconds_bucket{le=\"2\"} 2\n"
            "retinue_item_seconds_bucket{le=\"+Inf\"} 7\n"
            "retinue_item_seconds_sum 12.5\n"
            "retinue_item_seconds_count 7\n");
}

TEST(MetricsText, ForeignBytesStayWithinTheirLabel) {
  MetricsText metrics;
  metrics.gauge("a", "back\\slash and\nline");
  metrics.sample(1, {{"model", "x\"} 1\nevil 2\\\xFF"}});
  EXPECT_EQ(metrics.text(),
            "# HELP a back\\\\slash and\\nline\n# TYPE a gauge\n"
            "a{model=\"x\\\"} 1\\nevil 2\\\\\xEF\xBF\xBD\"} 1\n");
}

TEST(MetricsText, NumbersThatAreNoneHaveTheFormatsNames) {
  MetricsText metrics;
  metrics.gauge("a", "A.");
  metrics.sample(std::numeric_limits<double>::infinity());
  metrics.sample(-std::numeric_limits<double>::infinity());
  metrics.sample(std::numeric_limits<double>::quiet_NaN());
  metrics.sample(9007199254740993.0);
  EXPECT_EQ(metrics.text(),
            "# HELP a A.\n# TYPE a gauge\na +Inf\na -Inf\na NaN\na 9007199254740992\n");
}

TEST(MetricsText, NamesThatBreakTheRulesAreBugs) {
  MetricsText metrics;
  EXPECT_THROW(metrics.counter("items", "No total."), BugError);
  EXPECT_THROW(metrics.gauge("items_total", "A total."), BugError);
  EXPECT_THROW(metrics.gauge("1st", "A digit."), BugError);
  EXPECT_THROW(metrics.gauge("a-b", "A dash."), BugError);
  metrics.gauge("a", "A.");
  EXPECT_THROW(metrics.gauge("a", "Again."), BugError);
  EXPECT_THROW(metrics.sample(1, {{"__name__", "x"}}), BugError);
  EXPECT_THROW(metrics.histogram("h", "H.", std::array{1.0}, std::array<std::int64_t, 1>{1}, 1),
               BugError);
}

}  // namespace
}  // namespace retinue::runtime
