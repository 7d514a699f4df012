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

/// How a job stands, over HTTP: `/` the page, `/status` what DIR/status.json holds, `/metrics` for
/// Prometheus, `/healthz` 200 or, when a rank with work has made no step for long, 503,
/// `/thumb/N` the picture of recent caption N. The job publishes and never waits for it.
class Monitor final : public StatusSink {
 public:
  /// Listens when it returns. `clock` is the job's and outlives it.
  ///   stalled_after_s  without a step
  /// Throws: UsageError as HttpServer.
  Monitor(const HttpAddress& address, const Clock& clock, double stalled_after_s);
  /// Where somebody watches, the end of the job is told first, within kLinger_s.
  ~Monitor() override;

  static constexpr double kLinger_s = 2.5;

  void publish(std::shared_ptr<const JobStatus> status) override;
  [[nodiscard]] std::string url() const override { return server_->url(); }
  [[nodiscard]] const HttpAddress& address() const { return server_->address(); }

 private:
  // On the server's thread:
  HttpResponse answer(std::string_view path);
  HttpResponse health() const;
  HttpResponse thumbnail(std::string_view serial) const;
  void refresh();

  const Clock& clock_;
  double stalled_after_s_;
  std::shared_ptr<const std::string> page_;
  std::string page_policy_;
  Mailbox<std::shared_ptr<const JobStatus>> newest_;
  std::shared_ptr<const JobStatus> status_;  ///< the server's thread
  std::shared_ptr<const std::string> json_;  ///< of it; null until asked for
  std::atomic<bool> ended_ = false;          ///< published
  std::atomic<bool> end_reported_ = false;
  std::atomic<double> watched_s_ = -1e9;  ///< when the status was last asked for
  std::unique_ptr<HttpServer> server_;    // last: its thread uses all of the above
};

}  // namespace retinue::runtime
