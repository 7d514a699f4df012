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

/// Keeps a file at what was published last, once a second, on a thread of its own: a slow disk
/// holds nobody up. Always whole, replaced by rename, not synced: it says how things stand, and
/// after a crash nobody needs it. A disk that refuses is said once and is no failure of the job.
class StatusFile final : public StatusSink {
 public:
  /// `log` outlives it.
  StatusFile(std::string path, Log& log);
  /// Writes what is not written yet.
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
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace retinue::runtime
