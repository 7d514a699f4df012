#pragma once

#include "parallel/base/log.h"
#include "runtime/status/job_status.h"
#include "runtime/status/mailbox.h"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace retinue::runtime {

/// Writes the newest status to a file, at most once a second, on a thread of its own: a slow disk
/// does not hold up the job. The file is always whole, replaced by rename, and not synced: after a
/// power failure it is of no use. A disk that refuses is logged once and does not fail the job.
class StatusFile final : public StatusSink {
 public:
  /// `log` must outlive it.
  StatusFile(std::string path, Log& log);
  /// Writes the last status that was published.
  ~StatusFile() override;

  void publish(std::shared_ptr<const JobStatus> status) override;

 private:
  void work(const std::stop_token& stop);
  void write();

  std::string path_;
  Log& log_;
  Mailbox<std::shared_ptr<const JobStatus>> newest_;
  bool refused_ = false;
  std::mutex mutex_;  ///< for sleeping only
  std::condition_variable_any wake_;
  std::jthread thread_;  // last: it uses all members above
};

}  // namespace retinue::runtime
