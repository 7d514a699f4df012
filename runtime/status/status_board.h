#pragma once

#include "parallel/base/clock.h"
#include "runtime/status/job_status.h"
#include "runtime/status/progress.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace retinue::runtime {

/// On rank 0: gathers how the job stands and publishes it to sinks, once a second and at every
/// change of phase. Belongs to the job's loop; costs it microseconds, and nothing in it waits.
class StatusBoard {
 public:
  static constexpr double kEvery_s = 1;
  static constexpr double kBucket_s = 10;       ///< of the history, at first
  static constexpr std::size_t kBuckets = 240;  ///< when there are more, two become one
  static constexpr std::size_t kRecent = 24;    ///< captions
  static constexpr std::size_t kFailures = 50;
  static constexpr double kCaptionEvery_s = 3;  ///< of those without a thumbnail

  /// `clock` outlives it.
  StatusBoard(JobStatus::Job job, const Clock& clock);
  /// Says kFailed unless the job has ended.
  ~StatusBoard();
  StatusBoard(const StatusBoard&) = delete;
  StatusBoard& operator=(const StatusBoard&) = delete;

  /// Outlives the board.
  void add_sink(StatusSink& sink);
  void items_known(std::int64_t items, std::int64_t done_before, std::int64_t failed_before,
                   std::int64_t quarantined, int epoch);
  void phase(JobPhase phase);
  void ended(int exit_code, std::string outcome, const Counts& counts);

  void rank(int rank, const RankState& state);
  /// What the lead `rank` has done.
  void leader(int rank, std::int64_t done, std::int64_t failed);
  /// Items that ended. A caption without a thumbnail is shown where none has come for a while.
  void caption(JobStatus::Recent recent);
  void failure(JobStatus::Failed failed);
  /// Publishes when it is time to.
  void update(const Counts& counts, const Progress& progress);

  /// Every rank but 0 has sent its last word.
  [[nodiscard]] bool all_finished() const;

 private:
  void keep_history(double now_s);
  void publish();

  const Clock& clock_;
  JobStatus status_;
  std::vector<StatusSink*> sinks_;
  std::deque<JobStatus::Recent> recent_;
  std::deque<JobStatus::Failed> failures_;
  std::vector<JobStatus::Bucket> history_;  ///< whole ones
  double bucket_s_ = kBucket_s;
  double bucket_begin_s_;
  Counts bucket_begin_;
  double started_s_;
  double published_s_ = 0;
  double caption_s_ = 0;
  std::int64_t serial_ = 0;
};

/// Where a lead other than rank 0 decides what rank 0 shows of its items.
class EventPace {
 public:
  static constexpr double kCaptionEvery_s = 1;
  static constexpr int kFailuresPerSecond = 8;

  /// Whether to send word of an item that ended now.
  bool caption(double now_s);
  bool failure(double now_s);

 private:
  double caption_s_ = 0, failures_since_s_ = 0;
  int failures_ = 0;
};

/// For a message.
JobEvent make_event(std::int64_t item, bool failed, double seconds, std::string_view stage,
                    std::string_view text);

}  // namespace retinue::runtime
