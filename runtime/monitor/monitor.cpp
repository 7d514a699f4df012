#include "runtime/monitor/monitor.h"

#include "runtime/monitor/job_metrics.h"
#include "runtime/monitor/metrics.h"
#include "runtime/monitor/page.h"
#include "runtime/pages/page_policy.h"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <thread>
#include <utility>

namespace retinue::runtime {
namespace {

/// A page that sent a request within this time is probably open: it sends one every two seconds.
constexpr double kWatched_s = 5;

HttpResponse text(int status, std::string body) {
  return {.status = status, .body = std::make_shared<const std::string>(std::move(body))};
}

}  // namespace

Monitor::Monitor(const HttpAddress& address, const Clock& clock, double stalled_after_s)
    : clock_(clock),
      stalled_after_s_(stalled_after_s),
      page_(std::make_shared<const std::string>(kPage)),
      page_policy_(policy_of_page(kPage) + "; img-src 'self' data:; connect-src 'self'"),
      server_(std::make_unique<HttpServer>(
          address, [this](std::string_view path) { return answer(path); })) {}

Monitor::~Monitor() {
  const double until_s = clock_.now_s() + kLinger_s;
  while (ended_ && !end_reported_ && clock_.now_s() - watched_s_ < kWatched_s &&
         clock_.now_s() < until_s)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  // The answer is made but may not be sent yet.
  if (end_reported_) std::this_thread::sleep_for(std::chrono::milliseconds(100));
}

void Monitor::publish(std::shared_ptr<const JobStatus> status) {
  const bool ended = status->phase == JobPhase::kEnded;
  newest_.put(std::make_unique<std::shared_ptr<const JobStatus>>(std::move(status)));
  if (ended) ended_ = true;
}

void Monitor::refresh() {
  const auto newest = newest_.take();
  if (newest == nullptr) return;
  status_ = std::move(*newest);
  json_.reset();
}

HttpResponse Monitor::answer(std::string_view path) {
  refresh();
  if (path == "/")
    return {.content_type = "text/html; charset=utf-8", .body = page_, .policy = page_policy_};
  if (path == "/healthz") return health();
  if (path == "/metrics")
    return {.content_type = MetricsText::kContentType,
            .body = std::make_shared<const std::string>(
                metrics_of(status_.get(), server_->counters()))};
  if (path == "/status") {
    if (status_ == nullptr) return text(503, "nothing is known yet\n");
    if (json_ == nullptr) json_ = std::make_shared<const std::string>(to_json(*status_) + "\n");
    watched_s_ = clock_.now_s();
    if (status_->phase == JobPhase::kEnded) end_reported_ = true;
    return {.content_type = "application/json", .body = json_};
  }
  if (path.starts_with("/thumb/")) return thumbnail(path.substr(7));
  return text(404, "This server has /, /status, /metrics, /healthz and /thumb/N.\n");
}

HttpResponse Monitor::health() const {
  if (status_ == nullptr) return text(200, "starting\n");
  const auto [seconds, rank] = status_->longest_quiet_s(clock_.now_s());
  if (rank >= 0 && seconds > stalled_after_s_)
    return text(503, fmt::format("stalled: rank {} has work and made no step for {:.0f} s\n", rank,
                                 seconds));
  if (status_->phase == JobPhase::kFailed) return text(503, "failed\n");
  return text(200, fmt::format("{}\n", name(status_->phase)));
}

HttpResponse Monitor::thumbnail(std::string_view serial) const {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(serial.data(), serial.data() + serial.size(), number);
  if (error == std::errc() && end == serial.data() + serial.size() && status_ != nullptr)
    for (const JobStatus::Recent& recent : status_->recent)
      if (recent.serial == number && recent.thumbnail != nullptr)
        return {.content_type = "image/jpeg", .body = recent.thumbnail};
  return text(404, "no such thumbnail, or no longer\n");
}

}  // namespace retinue::runtime
