// The monitor's answers about an invented job.
#include "runtime/monitor/monitor.h"

#include "runtime/monitor/page.h"
#include "tests/support/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <regex>
#include <string>

namespace retinue::runtime {
namespace {

using Json = nlohmann::json;
using test::http_body;
using test::http_get;
using test::http_status;
using testing::HasSubstr;
using testing::Not;

JobStatus running() {
  JobStatus status;
  status.job = {.model = "models/tiny",
                .output = "out",
                .dtype = "bf16",
                .device = "cpu",
                .input = {"photos"},
                .mesh = {.data = 2, .tensor = 2}};
  status.phase = JobPhase::kRunning;
  status.items = 100, status.done_before = 10, status.failed_before = 1, status.quarantined = 1;
  status.passed_over = {{.what = ".tar", .why = "in a folder", .count = 3}};
  status.counts.done = 20, status.counts.failed = 2, status.counts.media = 21;
  status.elapsed_s = 10;
  status.ranks.resize(4);
  for (JobStatus::Rank& rank : status.ranks) rank.state.engine.steps = 5;
  status.recent = {{.serial = 7,
                    .id = "<img src=x onerror=alert(1)>",
                    .caption = "</script><script>alert(1)</script>\xFF",
                    .seconds = 0.5,
                    .thumbnail = std::make_shared<const std::string>("\xFF\xD8jpeg")},
                   {.serial = 6, .id = "b", .caption = "B.", .replica = 1}};
  status.failures = {{.id = "c", .stage = "image", .message = "no \"JPEG\"\n"}};
  return status;
}

class MonitorOf : public testing::Test {
 protected:
  void publish(const JobStatus& status) {
    monitor_->publish(std::make_shared<const JobStatus>(status));
  }
  std::string get(const std::string& path) { return http_get(monitor_->address().port, path); }
  Json status() { return Json::parse(http_body(get("/status"))); }

  FakeClock clock_;
  std::unique_ptr<Monitor> monitor_ = std::make_unique<Monitor>(HttpAddress{}, clock_, 60);
};

TEST_F(MonitorOf, KnowsNothingBeforeTheJobPublishes) {
  EXPECT_EQ(http_status(get("/status")), 503);
  EXPECT_EQ(http_status(get("/healthz")), 200);
  EXPECT_EQ(http_status(get("/metrics")), 200);
  EXPECT_EQ(http_status(get("/")), 200);
  EXPECT_EQ(http_status(get("/thumb/1")), 404);
}

TEST_F(MonitorOf, StatusIsWhatTheJobPublished) {
  publish(running());
  const Json json = status();
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["phase"], "running");
  EXPECT_EQ(json["items"],
            (Json{{"all", 100},
                  {"done", 30},
                  {"failed", 3},
                  {"quarantined", 1},
                  {"left", 67},
                  {"in_flight", 0},
                  {"passed_over", {{{"what", ".tar"}, {"why", "in a folder"}, {"count", 3}}}}}));
  EXPECT_EQ(json["rates"]["items_per_s"], 2.2);
  EXPECT_EQ(json["ranks"].size(), 4U);
  EXPECT_EQ(json["ranks"][2]["replica"], 1);
  EXPECT_EQ(json["ranks"][2]["lead"], true);
  EXPECT_TRUE(json["left_s"].is_null());
  EXPECT_TRUE(json["exit_code"].is_null());
  JobStatus later = running();
  later.counts.done = 21;
  publish(later);
  EXPECT_EQ(status()["items"]["done"], 31);
}

TEST_F(MonitorOf, ForeignTextsAreDataAndNothingElse) {
  publish(running());
  const std::string answer = get("/status");
  EXPECT_THAT(answer, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Content-Type-Options: nosniff"));
  const Json json = Json::parse(http_body(answer));
  EXPECT_EQ(json["recent"][0]["id"], "<img src=x onerror=alert(1)>");
  EXPECT_EQ(json["recent"][0]["caption"], "</script><script>alert(1)</script>\xEF\xBF\xBD");
  EXPECT_EQ(json["failures"][0]["message"], "no \"JPEG\"\n");
  // The page never makes markup of a text.
  for (const char* way :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("})
    EXPECT_EQ(kPage.find(way), kPage.npos) << way;
}

TEST_F(MonitorOf, ThePageLoadsNothingFromElsewhere) {
  const std::string answer = get("/");
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(answer, HasSubstr("script-src 'sha256-"));
  EXPECT_THAT(answer, HasSubstr("; img-src 'self' data:; connect-src 'self'; base-uri"));
  EXPECT_THAT(answer, Not(HasSubstr("unsafe-inline")));
  // No address but the name of a namespace.
  const std::string page(kPage);
  const std::regex address("https?://[^\"]*");
  for (std::sregex_iterator at(page.begin(), page.end(), address), end; at != end; ++at)
    EXPECT_EQ(at->str(), "http://www.w3.org/2000/svg");
}

TEST_F(MonitorOf, ThumbnailsAreThoseOfTheRecentCaptions) {
  publish(running());
  const std::string answer = get("/thumb/7");
  EXPECT_EQ(http_status(answer), 200);
  EXPECT_THAT(answer, HasSubstr("Content-Type: image/jpeg\r\n"));
  EXPECT_EQ(http_body(answer), "\xFF\xD8jpeg");
  for (const char* path : {"/thumb/6", "/thumb/8", "/thumb/", "/thumb/-7", "/thumb/7x",
                           "/thumb/99999999999999999999", "/thumb/../status"})
    EXPECT_EQ(http_status(get(path)), 404) << path;
}

TEST_F(MonitorOf, HealthIsLostWithoutStepsWhereThereIsWork) {
  JobStatus status = running();
  status.ranks[0].stepped_s = status.ranks[1].stepped_s = status.ranks[2].stepped_s = 50;
  publish(status);
  EXPECT_EQ(http_status(get("/healthz")), 200);
  clock_.advance(61);  // the job publishes nothing: its loop may hang as well
  const std::string answer = get("/healthz");
  EXPECT_EQ(http_status(answer), 503);
  EXPECT_THAT(answer, HasSubstr("rank 3 has work and made no step for 61 s"));
  status.ranks[3].state.finished = true;
  publish(status);
  EXPECT_EQ(http_status(get("/healthz")), 200);
  clock_.advance(60);
  EXPECT_EQ(http_status(get("/healthz")), 503);
  status.phase = JobPhase::kFinalizing;
  publish(status);
  EXPECT_EQ(http_status(get("/healthz")), 200);
  status.phase = JobPhase::kFailed;
  publish(status);
  EXPECT_EQ(http_status(get("/healthz")), 503);
}

TEST_F(MonitorOf, MetricsHaveTheNumbersOfTheStatus) {
  publish(running());
  const std::string text = http_body(get("/metrics"));
  for (const char* line :
       {"retinue_job_items{state=\"done\"} 30\n", "retinue_job_items{state=\"open\"} 67\n",
        "retinue_items_total{outcome=\"failed\"} 2\n", "retinue_job_phase{phase=\"running\"} 1\n",
        "retinue_rank_steps_total{rank=\"3\",replica=\"1\"} 5\n",
        "retinue_item_duration_seconds_bucket{le=\"+Inf\"} 0\n",
        "retinue_monitor_responses_total{code=\"200\"} 0\n"})
    EXPECT_THAT(text, HasSubstr(line));
  // No label holds foreign text.
  EXPECT_THAT(text, Not(HasSubstr("onerror")));
}

TEST_F(MonitorOf, ClosesAtOnceWithoutAnOpenPage) {
  JobStatus status = running();
  status.phase = JobPhase::kEnded;
  publish(status);
  monitor_.reset();  // the clock never moves: a wait would never end
}

TEST(Monitor, ReportsTheEndToAnOpenPage) {
  FakeClock clock;  // without time, only the report of the end lets the monitor close
  auto monitor = std::make_unique<Monitor>(HttpAddress{}, clock, 60);
  const std::uint16_t port = monitor->address().port;
  JobStatus status = running();
  monitor->publish(std::make_shared<const JobStatus>(status));
  ASSERT_EQ(http_status(http_get(port, "/status")), 200);
  status.phase = JobPhase::kEnded, status.exit_code = 0;
  monitor->publish(std::make_shared<const JobStatus>(status));
  auto closed = std::async(std::launch::async, [&] { monitor.reset(); });
  EXPECT_EQ(closed.wait_for(std::chrono::milliseconds(100)), std::future_status::timeout);
  EXPECT_EQ(Json::parse(http_body(http_get(port, "/status")))["phase"], "ended");
  const bool in_time = closed.wait_for(std::chrono::seconds(30)) == std::future_status::ready;
  EXPECT_TRUE(in_time);
  if (!in_time) std::abort();  // `closed` would wait for ever
}

}  // namespace
}  // namespace retinue::runtime
