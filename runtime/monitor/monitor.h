#pragma once

#include "parallel/base/clock.h"
#include "runtime/monitor/http_server.h"
#include "runtime/status/job_status.h"
#include "runtime/status/mailbox.h"

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

namespace retinue::runtime {

/// The status of a job over HTTP. The job publishes it and never waits.
///   /         the page
///   /status   the content of DIR/status.json
///   /metrics  for Prometheus
///   /healthz  200, or 503 when a rank with work has made no step for long
///   /thumb/N  the thumbnail of recent caption N
class Monitor final : public StatusSink {
 public:
  /// The server listens when the constructor returns. `clock` is the job's and outlives this.
  ///   stalled_after_s  time without a step after which /healthz is 503
  /// Throws: UsageError as HttpServer.
  Monitor(const HttpAddress& address, const Clock& clock, double stalled_after_s);
  /// Waits until an open page has received the end of the job, for kLinger_s at most.
  ~Monitor() override;

  static constexpr double kLinger_s = 2.5;

  void publish(std::shared_ptr<const JobStatus> status) override;
  [[nodiscard]] std::string url() const override { return server_->url(); }
  [[nodiscard]] const HttpAddress& address() const { return server_->address(); }

 private:
  // These run on the server's thread:
  HttpResponse answer(std::string_view path);
  HttpResponse health() const;
  HttpResponse thumbnail(std::string_view serial) const;
  void refresh();

  const Clock& clock_;
  double stalled_after_s_;
  std::shared_ptr<const std::string> page_;
  std::string page_policy_;
  Mailbox<std::shared_ptr<const JobStatus>> newest_;
  std::shared_ptr<const JobStatus> status_;  ///< used by the server's thread
  std::shared_ptr<const std::string> json_;  ///< text of status_; null until requested
  std::atomic<bool> ended_ = false;          ///< published
  std::atomic<bool> end_reported_ = false;
  std::atomic<double> watched_s_ = -1e9;  ///< when a client last requested the status
  std::unique_ptr<HttpServer> server_;    // last: its thread uses all of the above
};

}  // namespace retinue::runtime
