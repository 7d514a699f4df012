#pragma once
// Tested through tests/runtime/jobs/caption/coordinator_link_test.cpp.

#include "parallel/mesh/mesh.h"
#include "runtime/jobs/caption/caption_job.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/work_queue.h"
#include "runtime/status/progress.h"
#include "runtime/status/status_board.h"
#include "runtime/status/thumbnails.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace retinue::runtime {

/// Rank 0's service to all replicas of a caption job: it hands out the items, gathers and publishes
/// every rank's state, and decides when the job has to stop. Rank 0's leader calls it between steps
/// of its engine (CoordinatorLink), so nothing here waits.
class CaptionCoordinator {
 public:
  /// All arguments outlive it. `thumbnails` null: no monitor shows any.
  CaptionCoordinator(const Session& session, const Mesh& mesh, const CaptionJob& job,
                     Progress& progress, StatusBoard& board, Thumbnails* thumbnails);
  CaptionCoordinator(const CaptionCoordinator&) = delete;
  CaptionCoordinator& operator=(const CaptionCoordinator&) = delete;

  /// Answers the claims of the other leaders and takes in what all ranks have reported.
  void receive_messages();
  /// Items for this rank's own replica, at most `wanted`.
  ItemBatch claim(std::int64_t wanted) { return work_queue_.next(wanted); }
  /// The report of this rank's own replica.
  void report_own(const RankState& state, const Counts& counts);
  /// An item of this rank's own replica ended.
  void show_caption(const Item& item, std::size_t index, double seconds,
                    const std::string& caption);
  void show_failure(const Item& item, const DataError& error);

  /// `own` plus what the other leaders have counted.
  [[nodiscard]] Counts with_others(Counts own) const;
  /// The next order that the counts of all leaders demand, already sent to the other leaders; the
  /// caller carries it out on its own replica. Nothing when they demand no more.
  std::optional<StopOrder> next_order(const Counts& all);
  /// Publishes progress and status where that is due.
  void show_progress(const Counts& all);
  /// Whether every rank but this one has sent its last report.
  [[nodiscard]] bool others_finished() const { return board_.all_finished(); }

 private:
  void serve_claims();
  void receive_counts();
  void receive_states();
  void show(const JobEvent& event, int replica);
  [[nodiscard]] std::optional<StopOrder> decide(const Counts& all);

  const Session& session_;
  const Mesh& mesh_;
  const CaptionJob& job_;
  Progress& progress_;
  StatusBoard& board_;
  Thumbnails* thumbnails_;
  std::set<std::int64_t> bisected_;  ///< items that replicas take at their start, unclaimed
  WorkQueue work_queue_;
  std::vector<Counts> others_;  ///< of the other leaders
  int stop_code_ = 0;           ///< of the last order, 0 before the first
  bool hurried_ = false;        ///< the order to hurry is out
};

}  // namespace retinue::runtime
