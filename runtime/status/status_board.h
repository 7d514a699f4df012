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

/// Gathers the job's status on rank 0 and publishes it to sinks, once a second and at every change
/// of phase. Runs on the thread of the job's loop: a call costs microseconds and never waits.
class StatusBoard {
 public:
  static constexpr double kEvery_s = 1;         ///< between two publications
  static constexpr double kBucket_s = 10;       ///< length of a bucket of the history, at first
  static constexpr std::size_t kBuckets = 240;  ///< beyond it, neighbours are merged in pairs
  static constexpr std::size_t kRecent = 24;    ///< captions
  static constexpr std::size_t kFailures = 50;
  static constexpr double kCaptionEvery_s = 3;  ///< between captions without a thumbnail

  /// `clock` must outlive the board.
  StatusBoard(JobStatus::Job job, const Clock& clock);
  /// Publishes kFailed unless ended() was called.
  ~StatusBoard();
  StatusBoard(const StatusBoard&) = delete;
  StatusBoard& operator=(const StatusBoard&) = delete;

  /// `sink` must outlive the board.
  void add_sink(StatusSink& sink);
  void items_known(std::int64_t items, std::int64_t done_before, std::int64_t failed_before,
                   std::int64_t quarantined, int epoch);
  void passed_over(std::vector<PassedOver> kinds);
  void phase(JobPhase phase);
  void ended(int exit_code, std::string outcome, const Counts& counts);

  void rank(int rank, const RankState& state);
  /// The items that ended in the replica of the leader `rank`.
  void leader(int rank, std::int64_t done, std::int64_t failed);
  /// An item that ended. A caption without a thumbnail is shown only when none was shown lately.
  void caption(JobStatus::Recent recent);
  void failure(JobStatus::Failed failed);
  /// Publishes, at most every kEvery_s.
  void update(const Counts& counts, const Progress& progress);

  /// Every rank but 0 has sent its last status.
  [[nodiscard]] bool all_finished() const;

 private:
  void keep_history(double now_s);
  void publish();

  const Clock& clock_;
  JobStatus status_;
  std::vector<StatusSink*> sinks_;
  std::deque<JobStatus::Recent> recent_;
  std::deque<JobStatus::Failed> failures_;
  std::vector<JobStatus::Bucket> history_;  ///< complete buckets
  double bucket_s_ = kBucket_s;
  double bucket_begin_s_;
  Counts bucket_begin_;
  double started_s_;
  double published_s_ = 0;
  double caption_s_ = 0;
  std::int64_t serial_ = 0;
};

/// Limits the events that a leader other than rank 0 sends to rank 0.
class EventPace {
 public:
  static constexpr double kCaptionEvery_s = 1;
  static constexpr int kFailuresPerSecond = 8;

  /// Whether to send an event for an item that ends now.
  bool caption(double now_s);
  bool failure(double now_s);

 private:
  double caption_s_ = 0, failures_since_s_ = 0;
  int failures_ = 0;
};

/// Cuts the texts to fit.
JobEvent make_event(std::int64_t item, bool failed, double seconds, std::string_view stage,
                    std::string_view text);

}  // namespace retinue::runtime
